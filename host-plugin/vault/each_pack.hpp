#pragma once
#include <functional>
#include <vector>

#include "env/cancel.hpp"
#include "vault/pack_check.hpp"

namespace stillpoint::vault {

/// Packs that are read at once, all together: four of the default size. More of them than there are
/// processors let the store work while packs are hashed.
inline constexpr std::uint64_t packs_memory_bytes = 128u << 20;
inline constexpr unsigned packs_at_once_max = 8;  // small ones: beyond that threads just wait
static_assert(packs_memory_bytes / pack_bytes_max >= 2);

/// @param largest_bytes of the packs that will be read
[[nodiscard]] unsigned packs_at_once(std::uint64_t largest_bytes);

/// Calls `each` for every pack, for packs_at_once() of them side by side.
/// @param each gets memory of its thread's own, the same one from pack to pack
/// @errors cancelled · those of `each`; the first one ends the others
/// @threads one; calls `each` from several
[[nodiscard]] Status for_each_pack(
    const std::vector<PackName>& packs, std::uint64_t largest_bytes, const env::CancelToken& cancel,
    const std::function<Status(const PackName& name, PackMemory& memory)>& each);

}  // namespace stillpoint::vault
