#pragma once
#include <functional>
#include <string>

#include "base/bytes.hpp"
#include "env/clock.hpp"

namespace stillpoint::env {

/// Bytes from getrandom(2); a system without entropy is a broken assumption.
[[nodiscard]] Bytes random_bytes(std::size_t count);
/// 64 bits from getrandom(2).
[[nodiscard]] std::uint64_t random_u64();
/// Where random numbers come from: random_u64, or in tests a generator with a seed.
using RandomFn = std::function<std::uint64_t()>;
/// A number in [0, end), every one as likely; `end` > 0.
[[nodiscard]] std::uint64_t random_below(const RandomFn& random, std::uint64_t end);
/// @return 2*count lower-case hex digits
[[nodiscard]] std::string random_hex(std::size_t count);
/// @return a UUIDv7 as 32 lower-case hex digits: time-ordered, 74 random bits
/// @source RFC 9562 section 5.7
[[nodiscard]] std::string uuid7(const Clock& clock);

}  // namespace stillpoint::env
