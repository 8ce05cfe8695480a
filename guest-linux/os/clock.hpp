#pragma once
#include <chrono>

namespace stillpoint::os {

using Nanoseconds = std::chrono::nanoseconds;

/// CLOCK_BOOTTIME: monotonic and counting through suspend, so that a lease cannot be slept over.
/// @threads any; async-signal-safe
[[nodiscard]] Nanoseconds boottime() noexcept;

/// For poll(2): milliseconds from `now` to `until`, rounded up, between 0 and one day.
[[nodiscard]] int poll_ms(Nanoseconds now, Nanoseconds until) noexcept;

}  // namespace stillpoint::os
