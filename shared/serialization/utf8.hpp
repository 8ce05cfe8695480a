#pragma once
#include <string>
#include <string_view>

namespace stillpoint::serialization {

/// @return whether the bytes are well-formed UTF-8: shortest forms only, no surrogates, at most
/// U+10FFFF
/// @source Unicode 15 table 3-7, "Well-Formed UTF-8 Byte Sequences"
[[nodiscard]] bool is_utf8(std::string_view text);

/// @return the text with every byte that belongs to no well-formed sequence replaced by U+FFFD.
/// File names are bytes: a mount point need not be UTF-8, a text on the wire must.
[[nodiscard]] std::string to_utf8(std::string_view text);

}  // namespace stillpoint::serialization
