#pragma once
#include <array>
#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "chunk/secret.hpp"

/// SHA-256 of several pieces side by side, by the multi-buffer library: vector units have lanes for
/// 8 or 16 of them, SHA units for two. It is there for x86-64; elsewhere all of this says no.
/// @threads any, concurrently: each call borrows a manager of its own
namespace stillpoint::chunk::lanes {

using Digest = std::array<std::byte, 32>;

/// Longer pieces are refused.
inline constexpr std::size_t piece_bytes_max = 65534;

/// Cuts a message into pieces, the last of which may be shorter, and writes the digest of each.
/// @param each bytes of a piece, 1 or more @param digests one for each piece
/// @return false: refused, and what was written into `digests` means nothing
[[nodiscard]] bool sha256(ByteView message, std::size_t each, std::span<Digest> digests);

/// A key's schedule: SHA-256's states after the two blocks that HMAC begins with.
struct HmacKey {
    SecretKey inner, outer;
};

/// @return nullopt where there are no lanes
[[nodiscard]] std::optional<HmacKey> hmac_key(const SecretKey& key);
/// As sha256(), with the HMAC-SHA-256 of each piece.
[[nodiscard]] bool hmac(const HmacKey& key, ByteView message, std::size_t each,
                        std::span<Digest> tags);

}  // namespace stillpoint::chunk::lanes
