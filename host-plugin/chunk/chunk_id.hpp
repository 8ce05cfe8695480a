#pragma once
#include <array>
#include <compare>
#include <cstring>
#include <string>

#include "base/bytes.hpp"

namespace stillpoint::chunk {

/// What ChunkHasher makes of a chunk's plaintext, or of a map node's logical content, under one of
/// the vault's id keys.
struct ChunkId {
    static constexpr std::size_t bytes = 32;
    std::array<std::byte, bytes> value{};
    friend auto operator<=>(const ChunkId&, const ChunkId&) = default;
    [[nodiscard]] ByteView view() const { return value; }
};

/// Ids are uniformly random: eight of their bytes are a hash.
struct ChunkIdHash {
    std::size_t operator()(const ChunkId& id) const noexcept {
        std::size_t out = 0;
        std::memcpy(&out, id.value.data(), sizeof out);
        return out;
    }
};

}  // namespace stillpoint::chunk
