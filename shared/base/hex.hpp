#pragma once
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace stillpoint {

/// @return lower-case hex, two digits a byte.
[[nodiscard]] std::string to_hex(ByteView bytes);

/// @errors invalid: odd length or a character that is not 0-9 a-f (upper case is refused: ids are
/// compared as text)
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

}  // namespace stillpoint
