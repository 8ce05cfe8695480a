#pragma once
#include <string>

#include "base/bytes.hpp"
#include "env/clock.hpp"

namespace stillpoint::env {

/// Bytes from getrandom(2); a system without entropy is a broken assumption.
[[nodiscard]] Bytes random_bytes(std::size_t count);
/// @return 2*count lower-case hex digits
[[nodiscard]] std::string random_hex(std::size_t count);
/// @return a UUIDv7 as 32 lower-case hex digits: time-ordered, 74 random bits
/// @source RFC 9562 section 5.7
[[nodiscard]] std::string uuid7(const Clock& clock);

}  // namespace stillpoint::env
