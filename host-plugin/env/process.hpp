#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/fd.hpp"
#include "env/files.hpp"

namespace stillpoint::env {

struct ProcessOutput {
    int exit_code = 0;   // 128 + signal when killed
    std::string out;     // at most 1 MiB, then cut
    std::string errors;  // likewise
};

struct SpawnOptions {
    std::vector<std::string> arguments;  // [0] is the program, found through PATH
    int inherit_fd = -1;                 // kept open in the child as the same number; -1: none
    bool new_session = false;            // setsid: survives the death of our terminal and group
    int output_fd = -1;                  // becomes its stdout and stderr; -1: ours
    // SIGTERM as soon as the thread that starts it ends, however that comes about: for helpers that
    // are of no use alone. The thread must stay for as long as the helper is needed.
    bool ends_with_starter = false;
};

/// Another process, held by a pidfd: its number cannot be reused under us.
/// @threads any
class ProcessWatch {
public:
    /// @errors not_found: no such process · unknown to kernels before 5.3 (io)
    static Result<ProcessWatch> open(pid_t pid);
    /// As above, only if the process began when `started` says: its number may be another's by now.
    /// @errors also not_found: another process has the number
    static Result<ProcessWatch> open(pid_t pid, std::uint64_t started);
    /// Readable once the process has ended.
    [[nodiscard]] int poll_fd() const { return pidfd_.get(); }
    void kill(int signal) const;
    /// Waits for its end. @return false at the deadline
    [[nodiscard]] bool ended(const Deadline& deadline) const;

private:
    explicit ProcessWatch(UniqueFd pidfd) : pidfd_(std::move(pidfd)) {}
    UniqueFd pidfd_;
};

/// When a process began, in clock ticks since the host booted: with its number this names it for
/// good. @errors not_found: no such process
/// @source proc(5), /proc/PID/stat field 22
[[nodiscard]] Result<std::uint64_t> started_at(pid_t pid);

/// What the kernel tells of one thread.
struct ThreadLook {
    char state = '?';         // R runs or waits for a processor, S and D sleep, T is stopped, …
    std::uint64_t turns = 0;  // how often it was given a processor; 0 where the kernel counts none
};

/// @errors not_found: no such thread
/// @source proc(5), field 3 of stat; Documentation/scheduler/sched-stats.rst for schedstat
[[nodiscard]] Result<ThreadLook> look_at_thread(pid_t pid, pid_t thread);

/// A running child. The destructor kills (SIGKILL) and reaps it unless it was waited for or
/// released.
class Child {
public:
    static Result<Child> spawn(const SpawnOptions& options);
    /// Takes charge of a child that was started otherwise.
    static Child adopt(pid_t pid) { return Child{pid}; }
    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    Child& operator=(Child&&) = delete;
    ~Child();
    [[nodiscard]] pid_t pid() const { return pid_; }
    /// @return exit code (128 + signal when killed)
    /// @errors timeout: still running at the deadline
    [[nodiscard]] Result<int> wait(const Deadline& deadline);
    /// @errors also cancelled
    [[nodiscard]] Result<int> wait(const Deadline& deadline, const CancelToken& cancel);
    void kill(int signal) const;
    /// Leaves it running and forgets it.
    void release() { pid_ = -1; }

private:
    explicit Child(pid_t pid) : pid_(pid) {}
    pid_t pid_;
};

/// Runs a program to its end with stdin closed and its output collected.
/// @errors not_found: no such program · timeout, cancelled: it was killed and reaped
[[nodiscard]] Result<ProcessOutput> run_process(const std::vector<std::string>& arguments,
                                                const Deadline& deadline,
                                                const CancelToken& cancel);

}  // namespace stillpoint::env
