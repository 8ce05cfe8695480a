#pragma once
#include <string>

#include "hooks/hook.hpp"
#include "os/waiter.hpp"
#include "serialization/evidence.hpp"

namespace stillpoint::linux_guest {

enum class HookEnd {
    exited,       // `status` is its exit code
    signalled,    // `status` is the signal's number
    timed_out,    // killed with its whole process group
    cancelled,    // likewise, because the work was no longer wanted
    not_started,  // the kernel refused to execute it; `output` says why
};

struct HookResult {
    HookEnd end = HookEnd::not_started;
    int status = 0;
    os::Nanoseconds duration{};
    std::string output;  // the last hook_output_bytes_max of standard output and error together
    [[nodiscard]] bool succeeded() const { return end == HookEnd::exited && status == 0; }
    /// One line for people: how it ended and, after a failure, its last line of output.
    [[nodiscard]] std::string note() const;
};

/// Runs a hook to its end: executed directly, in a session and process group of its own, with
/// nothing in its environment but PATH and STILLPOINT_*, "/" as its folder, nothing on its standard
/// input. Its output is drained without limit. At the timeout the whole group is killed before
/// anything else happens. A process that the hook leaves running on purpose (to hold a lock until
/// post) is let live when the hook itself succeeded.
/// @threads the process must have no other thread and wait for no other child meanwhile
[[nodiscard]] HookResult run_hook(const HookCommand& hook, const HookContext& context,
                                  os::Waiter& waiter);

/// The result as evidence of kind hook.
[[nodiscard]] serialization::Evidence hook_evidence(const HookCommand& hook,
                                                    const HookResult& result);

}  // namespace stillpoint::linux_guest
