#include "os/waiter.hpp"

#include <cerrno>

namespace stillpoint::os {

WaitEnd PlainWaiter::wait(std::span<pollfd> watched, Nanoseconds until) {
    for (;;) {
        const int ready = ::poll(watched.data(), watched.size(), poll_ms(boottime(), until));
        if (ready > 0) return WaitEnd::ready;
        if (ready == 0 && boottime() >= until) return WaitEnd::timeout;
        if (ready < 0 && errno != EINTR) return WaitEnd::timeout;
    }
}

}  // namespace stillpoint::os
