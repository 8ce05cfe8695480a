#include "env/clock.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace stillpoint::env {
namespace {

Nanoseconds read_clock(clockid_t id) {
    timespec now{};
    clock_gettime(id, &now);
    return std::chrono::seconds{now.tv_sec} + Nanoseconds{now.tv_nsec};
}

}  // namespace

Nanoseconds SystemClock::monotonic() const {
    return read_clock(CLOCK_MONOTONIC);
}

Nanoseconds SystemClock::wall() const {
    return read_clock(CLOCK_REALTIME);
}

// "As long as it takes" is asked for with the largest budget: the sum must not wrap into the past.
Deadline::Deadline(const Clock& clock, Nanoseconds budget)
    : clock_(&clock),
      at_(clock.monotonic() + std::min(budget, Nanoseconds::max() - clock.monotonic())) {}

Nanoseconds Deadline::left() const {
    return std::max(at_ - clock_->monotonic(), Nanoseconds::zero());
}

int Deadline::poll_ms() const {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left()).count();
    return static_cast<int>(std::min<std::int64_t>(ms, 86'400'000));
}

Deadline Deadline::at_most(Nanoseconds budget) const {
    return Deadline{*clock_, std::min(left(), budget)};
}

std::string rfc3339(Nanoseconds wall) {
    const auto ms = std::chrono::floor<std::chrono::milliseconds>(wall);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(ms);
    const std::time_t time = seconds.count();
    std::tm utc{};
    gmtime_r(&time, &utc);
    std::array<char, 40> text{};
    const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(text.data() + n, text.size() - n, ".%03dZ",
                  static_cast<int>((ms - seconds).count()));
    return text.data();
}

}  // namespace stillpoint::env
