#include "hooks/hook_pen.hpp"

#include <signal.h>
#include <unistd.h>

#include "os/process.hpp"
#include "os/waiter.hpp"

namespace stillpoint::linux_guest {
namespace {

constexpr os::Nanoseconds look_every = std::chrono::milliseconds{5};

}  // namespace

HookPen::HookPen(const os::CgroupRoot& root, Name name, Found found)
    : marker_(std::move(name.marker)) {
    if (root.version() != os::CgroupRoot::Version::none) {
        if (auto group = os::Cgroup::open(root, name.group)) group_ = *std::move(group);
    }
    if (group_) return;
    const auto others = os::descendants({::getpid()}, {});
    before_.insert(others.begin(), others.end());
    const auto marked = os::processes_with(marker_);
    if (found == Found::leave) before_.insert(marked.begin(), marked.end());
    if (found == Found::adopt) members_ = marked;
}

int HookPen::join() const noexcept {
    return group_ ? group_->join() : 0;
}

void HookPen::close() {
    if (!group_) members_ = strays();
}

std::vector<os::ProcessId> HookPen::strays() const {
    std::vector<os::ProcessId> found;
    std::vector<pid_t> roots{::getpid()};
    if (members_) {
        roots.clear();
        for (const os::ProcessId& member : *members_) {
            if (!os::alive(member)) continue;
            found.push_back(member);
            roots.push_back(member.pid);
        }
    }
    for (const auto& list : {os::descendants(roots, before_), os::processes_with(marker_)}) {
        for (const os::ProcessId& process : list) {
            if (!before_.contains(process)) found.push_back(process);
        }
    }
    return found;
}

bool HookPen::empty() const {
    return group_ ? group_->empty() : strays().empty();
}

void HookPen::kill() const {
    os::PlainWaiter waiter;
    const os::Nanoseconds until = os::boottime() + hook_kill_max;
    while (!empty()) {
        if (group_) group_->kill();
        if (!group_) {
            for (const os::ProcessId& process : strays()) ::kill(process.pid, SIGKILL);
        }
        if (os::boottime() >= until) return;
        waiter.wait({}, os::boottime() + look_every);
    }
}

}  // namespace stillpoint::linux_guest
