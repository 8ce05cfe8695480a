#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace stillpoint::env {

using Nanoseconds = std::chrono::nanoseconds;

/// Time from outside, so that tests can pass hours in no time.
/// @threads any
class Clock {
public:
    virtual ~Clock() = default;
    /// Monotonic time since an arbitrary start (CLOCK_MONOTONIC).
    [[nodiscard]] virtual Nanoseconds monotonic() const = 0;
    /// Wall-clock time since 1970-01-01 UTC; may jump.
    [[nodiscard]] virtual Nanoseconds wall() const = 0;
};

class SystemClock final : public Clock {
public:
    [[nodiscard]] Nanoseconds monotonic() const override;
    [[nodiscard]] Nanoseconds wall() const override;
};

/// A point on a clock after which waiting ends. Copyable; keeps a reference to the clock.
class Deadline {
public:
    Deadline(const Clock& clock, Nanoseconds budget);
    [[nodiscard]] bool passed() const { return left() <= Nanoseconds::zero(); }
    /// Never negative.
    [[nodiscard]] Nanoseconds left() const;
    /// For poll(2): milliseconds rounded up, at most one day.
    [[nodiscard]] int poll_ms() const;
    /// The earlier of this deadline and `budget` from now, on the same clock.
    [[nodiscard]] Deadline at_most(Nanoseconds budget) const;

private:
    const Clock* clock_;
    Nanoseconds at_;
};

/// @return RFC 3339 UTC with milliseconds, e.g. 2026-11-22T15:04:05.123Z
[[nodiscard]] std::string rfc3339(Nanoseconds wall);
[[nodiscard]] inline double to_ms(Nanoseconds t) {
    return static_cast<double>(t.count()) / 1e6;
}

}  // namespace stillpoint::env
