#pragma once
#include <algorithm>

#include "base/bytes.hpp"

namespace stillpoint::chunk {

/// What is hashed piece by piece is cut into this many bytes, the last piece excepted.
inline constexpr std::size_t piece_bytes = 4096;

[[nodiscard]] inline std::size_t pieces_in(std::size_t bytes, std::size_t each = piece_bytes) {
    return (bytes + each - 1) / each;
}

/// Piece `index` of a message.
[[nodiscard]] inline ByteView piece_of(ByteView message, std::size_t each, std::size_t index) {
    const std::size_t at = index * each;
    return message.subspan(at, std::min(each, message.size() - at));
}

}  // namespace stillpoint::chunk
