#pragma once
#include <poll.h>

#include <span>

#include "os/clock.hpp"

namespace stillpoint::os {

enum class WaitEnd {
    ready,      // a watched descriptor has an event
    timeout,    // the time came
    cancelled,  // the work under way is no longer wanted; stays so until the owner says otherwise
};

/// How long-running work waits: whoever implements this may serve others meanwhile (the service
/// answers pings from inside).
/// @threads the caller's alone
class Waiter {
public:
    virtual ~Waiter() = default;
    /// Waits for events on `watched` (revents are set) until boottime `until` at the latest.
    virtual WaitEnd wait(std::span<pollfd> watched, Nanoseconds until) = 0;
};

/// Waits and does nothing else; never cancelled.
class PlainWaiter final : public Waiter {
public:
    WaitEnd wait(std::span<pollfd> watched, Nanoseconds until) override;
};

}  // namespace stillpoint::os
