#include "os/clock.hpp"

#include <algorithm>
#include <ctime>

namespace stillpoint::os {

Nanoseconds boottime() noexcept {
    timespec ts{};
    if (clock_gettime(CLOCK_BOOTTIME, &ts) != 0) clock_gettime(CLOCK_MONOTONIC, &ts);
    return std::chrono::seconds{ts.tv_sec} + Nanoseconds{ts.tv_nsec};
}

int poll_ms(Nanoseconds now, Nanoseconds until) noexcept {
    using std::chrono::milliseconds;
    if (until <= now) return 0;
    const Nanoseconds left = std::min<Nanoseconds>(until - now, std::chrono::hours{24});
    return static_cast<int>(std::chrono::ceil<milliseconds>(left).count());
}

}  // namespace stillpoint::os
