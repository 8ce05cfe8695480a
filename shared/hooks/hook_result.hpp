#pragma once
#include <string>

#include "hooks/hook.hpp"
#include "serialization/evidence.hpp"

namespace stillpoint::hooks {

enum class HookEnd {
    exited,       // `status` is its exit code
    signalled,    // `status` is the signal's number
    timed_out,    // killed with everything it had started
    cancelled,    // likewise, because the work was no longer wanted
    not_started,  // nothing was executed; `output` says why
};

/// How one execution ended.
struct HookResult {
    HookEnd end = HookEnd::not_started;
    int status = 0;
    Nanoseconds duration{};
    std::string output;  // the last hook_output_bytes_max of standard output and error together
    [[nodiscard]] bool succeeded() const { return end == HookEnd::exited && status == 0; }
    /// One line for people: how it ended and, after a failure, its last line of output.
    [[nodiscard]] std::string note() const;
};

/// How a command with all its tries ended.
struct HookOutcome {
    HookResult last;
    int executions = 0;      // exactly as many as there were
    Nanoseconds duration{};  // of all tries and the waits between them
    [[nodiscard]] std::string note() const;
};

/// The outcome as evidence of kind hook; its type is the phase.
[[nodiscard]] serialization::Evidence hook_evidence(const Hook& hook, HookPhase phase,
                                                    const HookOutcome& outcome);

}  // namespace stillpoint::hooks
