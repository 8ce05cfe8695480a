#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "os/cgroup.hpp"
#include "os/clock.hpp"
#include "os/process_tree.hpp"

namespace stillpoint::linux_guest {

/// Everything that one phase of one hook has started, whatever it did to get away from its parent:
/// a control group where there are any, else the processes that have come below this one since.
class HookPen {
public:
    struct Name {
        std::string group;   // of the control group
        std::string marker;  // "NAME=value" of its environment, to find again what an earlier life
                             // of this program started where there are no control groups
    };
    enum class Found { leave, adopt };  // what bears the marker already
    HookPen(const os::CgroupRoot& root, Name name, Found found);
    /// For the child, after fork. @return errno
    [[nodiscard]] int join() const noexcept;
    [[nodiscard]] bool empty() const;
    /// What is in it now is all that will come to it, but for descendants.
    void close();
    /// Kills all and waits until they are gone, at most hook_kill_max: one stuck in the kernel dies
    /// later.
    void kill() const;

private:
    [[nodiscard]] std::vector<os::ProcessId> strays() const;
    std::optional<os::Cgroup> group_;
    std::string marker_;
    std::set<os::ProcessId> before_;
    std::optional<std::vector<os::ProcessId>> members_;  // once closed
};

inline constexpr os::Nanoseconds hook_kill_max = std::chrono::seconds{2};

}  // namespace stillpoint::linux_guest
