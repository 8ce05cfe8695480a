#pragma once
#include <chrono>

namespace stillpoint::windows_guest::os {

using std::chrono::nanoseconds;

/// Monotonic time; on Windows the performance counter, which also counts while the machine sleeps.
/// Never below ten seconds: stamps of the protocol are then integers of one length, and a prepared
/// message can be filled in without being built anew (service/frozen_frame.hpp).
/// @threads any
[[nodiscard]] inline nanoseconds now() {
    return std::chrono::steady_clock::now().time_since_epoch() + std::chrono::seconds{10};
}

}  // namespace stillpoint::windows_guest::os
