#pragma once
#include <map>
#include <string>

#include "hooks/hook_executor.hpp"
#include "hooks/hook_pen.hpp"
#include "hooks/trusted_file.hpp"

namespace stillpoint::linux_guest {

inline constexpr const char* hook_state_folder_default = "/run/stillpoint/hooks";

/// Executes hooks on this system: directly, in a session and a control group of its own, with
/// nothing in its environment but what the manual names, "/" as its folder, nothing on its standard
/// input. Its output is drained without limit. What was judged trustworthy is what is executed. At
/// the timeout, and after a failure, everything the phase has started is killed before anything
/// else happens. A process that a pre leaves running on purpose (to hold a lock until post) lives
/// until `end`.
/// @threads the process must have no other thread and wait for no other child meanwhile
class SystemHooks final : public HookExecutor {
public:
    struct Places {
        std::string state = hook_state_folder_default;  // a folder for each hook, begin to end
        std::string group = "stillpoint-hooks";         // holds a control group for each phase
        TrustRules trust = TrustRules::of_process();
        os::CgroupPlaces cgroups = {};
    };
    enum class Groups { where_possible, never };
    explicit SystemHooks(Places places, Groups groups = Groups::where_possible);
    Status begin(const Hook& hook) override;
    HookResult execute(const HookOrder& order, os::Waiter& waiter) override;
    void kill(const Hook& hook, HookPhase phase) override;
    bool running(const Hook& hook, HookPhase phase) override;
    void end(const Hook& hook) override;

private:
    [[nodiscard]] std::string folder_of(const Hook& hook) const;
    [[nodiscard]] static std::string pen_name(const Hook& hook, HookPhase phase);
    HookPen& pen_of(const Hook& hook, HookPhase phase, HookPen::Found found);

    Places places_;
    os::CgroupRoot groups_;
    std::map<std::string, HookPen> pens_;  // by pen_name
};

}  // namespace stillpoint::linux_guest
