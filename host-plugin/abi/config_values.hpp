#pragma once
#include <cstdint>
#include <string>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "env/clock.hpp"

/// How numbers, sizes and durations are written in host.xml.
namespace stillpoint::abi {

struct Counted {
    std::uint64_t number = 0;
    std::string unit;  // what follows it
};

/// "30d" → 30 and "d". @errors invalid, id "config.number": no number, or above max
[[nodiscard]] Result<Counted> parse_counted(const std::string& text, std::uint64_t max);

/// A number and nothing behind it. @errors as parse_counted()
[[nodiscard]] Result<std::uint64_t> parse_plain(const std::string& text, std::uint64_t max);

/// "500ms", "5s", "2min" → nanoseconds. @errors invalid, id "config.duration"
[[nodiscard]] Result<env::Nanoseconds> parse_duration(const std::string& text);

/// "512KiB", "8MiB", "20GiB", "1TiB" → bytes. @errors invalid, id "config.size"
[[nodiscard]] Result<ByteCount> parse_size(const std::string& text);

}  // namespace stillpoint::abi
