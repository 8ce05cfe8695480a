#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>

namespace stillpoint::env {

/// Alignment that write_durably() needs to go past the page cache: no disk asks for more.
inline constexpr std::size_t direct_alignment_bytes = 4096;

struct FreeMemory {
    void operator()(std::byte* bytes) const { std::free(bytes); }
};
/// Memory aligned for direct I/O, not zeroed.
using PageBuffer = std::unique_ptr<std::byte[], FreeMemory>;

/// @param bytes in large pages where the kernel has them: a pack is filled once and read twice
/// @throws std::bad_alloc
[[nodiscard]] PageBuffer make_page_buffer(std::size_t bytes);

}  // namespace stillpoint::env
