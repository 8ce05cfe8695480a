#pragma once
#include "os/clock.hpp"
#include "os/handle.hpp"

namespace stillpoint::windows_guest::os {

inline constexpr nanoseconds job_kill_max = std::chrono::seconds{2};

/// Processes with all that they start, whatever that does to get away: a job object that nothing
/// may leave. The kernel kills what is in it when its last handle is closed, so also when this
/// program is killed.
/// @threads one
class Job {
public:
    static Result<Job> make();
    [[nodiscard]] Status add(HANDLE process) const;
    /// Whether nothing runs that somebody has started. The console's own host, which Windows starts
    /// for a program and ends a little later than that, is nothing.
    [[nodiscard]] bool empty() const;
    /// Kills all and waits until they are gone, at most job_kill_max.
    void kill() const;

private:
    [[nodiscard]] bool gone() const;
    Handle handle_;
};

}  // namespace stillpoint::windows_guest::os
