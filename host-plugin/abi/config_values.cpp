#include "abi/config_values.hpp"

#include <array>
#include <charconv>

namespace stillpoint::abi {

Result<Counted> parse_counted(const std::string& text, std::uint64_t max) {
    Counted counted;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, counted.number);
    if (error != std::errc{} || counted.number > max) {
        return fail(Errc::invalid, "config.number", "`" + text + "` is no number in range");
    }
    counted.unit = std::string(end, last);
    return counted;
}

Result<std::uint64_t> parse_plain(const std::string& text, std::uint64_t max) {
    SP_ASSIGN(const Counted counted, parse_counted(text, max));
    if (counted.unit.empty()) return counted.number;
    return fail(Errc::invalid, "config.number", "not a plain number");
}

Result<ByteCount> parse_size(const std::string& text) {
    struct Unit {
        const char* suffix;
        unsigned shift;
    };
    static constexpr std::array<Unit, 4> units{
        {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}};
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    for (const Unit& unit : units) {
        if (error == std::errc{} && number <= 1'000'000 &&
            std::string(end, text.data() + text.size()) == unit.suffix) {
            return ByteCount{number << unit.shift};
        }
    }
    return fail(Errc::invalid, "config.size", "`" + text + "` is no size",
                "write a number and KiB, MiB, GiB or TiB, for example 20GiB");
}

Result<env::Nanoseconds> parse_duration(const std::string& text) {
    struct Unit {
        const char* suffix;
        std::int64_t ns;
    };
    static constexpr std::array<Unit, 4> units{{{"ms", 1'000'000},
                                                {"s", 1'000'000'000},
                                                {"min", 60'000'000'000},
                                                {"h", 3'600'000'000'000}}};
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    for (const Unit& unit : units) {
        if (error == std::errc{} && number >= 0 && number <= 1'000'000 &&
            std::string(end, text.data() + text.size()) == unit.suffix) {
            return env::Nanoseconds{number * unit.ns};
        }
    }
    return fail(Errc::invalid, "config.duration", "`" + text + "` is no duration",
                "write a number and ms, s, min or h, for example 5s");
}

}  // namespace stillpoint::abi
