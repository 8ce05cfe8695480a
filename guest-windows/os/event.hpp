#pragma once
#include <memory>

#include "os/clock.hpp"

namespace stillpoint::windows_guest::os {

/// A flag that one thread waits for and others set. Waiting ends by the monotonic clock: a
/// condition variable of mingw's library counts wall time, which somebody may set back.
/// Setting and waiting take no memory.
/// @threads any; one waits at a time
class Event {
public:
    Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event();
    /// Also remembered when nobody waits.
    void set() noexcept;
    /// Takes the flag back. @return false: it was not set by then
    bool wait_until(nanoseconds until) noexcept;
    void reset() noexcept { (void)wait_until(nanoseconds::zero()); }
    /// The system's handle; nullptr where the system has none.
    [[nodiscard]] void* handle() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace stillpoint::windows_guest::os
