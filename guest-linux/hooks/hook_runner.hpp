#pragma once
#include <string>

#include "hooks/hook_engine.hpp"

namespace stillpoint::linux_guest {

inline constexpr const char* hook_state_folder_default = "/run/stillpoint/hooks";

/// Executes hooks on this system: directly, in a session and process group of its own, with nothing
/// in its environment but what the manual names, "/" as its folder, nothing on its standard input.
/// Its output is drained without limit. At the timeout the whole group is killed before anything
/// else happens. A process that a pre leaves running on purpose (to hold a lock until post) lives
/// until `end`.
/// @threads the process must have no other thread and wait for no other child meanwhile
class SystemHooks final : public HookExecutor {
public:
    /// @param state_folder  each hook has a folder of its own there from begin to end
    explicit SystemHooks(std::string state_folder = hook_state_folder_default)
        : state_folder_(std::move(state_folder)) {}
    Status begin(const Hook& hook) override;
    HookResult execute(const Order& order, os::Waiter& waiter) override;
    void end(const Hook& hook) override;

private:
    [[nodiscard]] std::string folder_of(const Hook& hook) const;
    std::string state_folder_;
};

}  // namespace stillpoint::linux_guest
