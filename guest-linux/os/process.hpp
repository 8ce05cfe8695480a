#pragma once
#include <sys/types.h>

#include <functional>
#include <span>
#include <string>
#include <utility>

#include "base/result.hpp"
#include "os/clock.hpp"
#include "os/fd.hpp"

namespace stillpoint::os {

/// A forked child of ours. The destructor kills (SIGKILL) and reaps it if that can be done without
/// waiting: a child stuck in the kernel stays behind as a zombie-to-be for `reap_finished`.
class Child {
public:
    Child() = default;
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    Child& operator=(Child&& other) noexcept;
    ~Child();
    [[nodiscard]] pid_t pid() const { return pid_; }
    void kill() const noexcept;
    /// Forgets it: it runs on by itself.
    void release() noexcept { pid_ = -1; }

private:
    pid_t pid_ = -1;
};

/// Forks, names the child (at most 15 bytes, for ps and logs) and runs `body` in the child, which
/// ends with what it returns. In the child only the descriptors in `keep` are open; 0, 1 and 2 are
/// /dev/null; TERM, HUP, INT and PIPE are ignored. The caller must have no other thread.
/// @errors io: out of processes or memory
[[nodiscard]] Result<Child> fork_child(const char* name, std::span<const int> keep,
                                       const std::function<int()>& body);

/// Closes every descriptor from 3 up that is not in `keep`. For use after fork.
void close_all_except(std::span<const int> keep) noexcept;

/// Collects children that have ended; never waits. Not while somebody waits for one by its pid.
void reap_finished() noexcept;

/// Makes this process the last the kernel kills for memory and keeps its pages in RAM, as far as
/// the system lets us: both are precautions, not conditions.
enum class Memory { as_it_is, locked };
void harden(Memory memory) noexcept;

/// Memory of this process cannot be taken away, and the kernel kills others first for memory, for
/// as long as this lives; children started meanwhile inherit the latter. Some heap is reserved,
/// so that small allocations need no page of the system.
class HardenedScope {
public:
    HardenedScope();
    HardenedScope(const HardenedScope&) = delete;
    HardenedScope& operator=(const HardenedScope&) = delete;
    ~HardenedScope();

private:
    std::string oom_score_;  // as it was; empty: unknown
};

/// Makes a cgroup (version 2) below this process's own one, where possible: what is done to the
/// hooks' or the service's processes by their cgroup does not reach who is in there.
/// @return its cgroup.procs; not valid: not possible here
[[nodiscard]] UniqueFd make_cgroup(const char* name);
/// Moves the calling process there; nothing for -1.
void join_cgroup(int procs_fd) noexcept;

}  // namespace stillpoint::os
