#pragma once
#include <map>
#include <string>

#include "hooks/command_line.hpp"
#include "hooks/hook_executor.hpp"
#include "os/job.hpp"
#include "os/path_trust.hpp"

namespace stillpoint::windows_guest {

/// Executes hooks on this system: as the account of this program, in a job object for each phase,
/// with nothing in its environment but what docs/windows.md names, Windows' folder as its own,
/// nothing on its standard input. Its output is drained without limit. What was judged trustworthy
/// is what is executed: it cannot be replaced or written while it runs. At the timeout, and after a
/// failure, everything that the phase has started is killed before anything else happens. A process
/// that a pre leaves running on purpose (to hold a lock until post) lives until `end`.
/// @threads one
class SystemHooks final : public HookExecutor {
public:
    struct Places {
        std::string state;  // a folder for each hook, begin to end
        os::TrustRules trust;
        SystemPlaces system;
        Variables inherited;  // the environment of this process
    };
    explicit SystemHooks(Places places) : places_(std::move(places)) {}
    Status begin(const hooks::Hook& hook) override;
    hooks::HookResult execute(const hooks::HookOrder& order, Cancellation& cancelled) override;
    void kill(const hooks::Hook& hook, hooks::HookPhase phase) override;
    bool running(const hooks::Hook& hook, hooks::HookPhase phase) override;
    void end(const hooks::Hook& hook) override;

private:
    [[nodiscard]] std::string folder_of(const hooks::Hook& hook) const;
    Result<const os::Job*> job_of(const hooks::Hook& hook, hooks::HookPhase phase);

    Places places_;
    std::map<std::string, os::Job> jobs_;  // by hook and phase; of an earlier life there is none
};

/// The environment of this process.
[[nodiscard]] Variables own_environment();

}  // namespace stillpoint::windows_guest
