#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/scratch.hpp"
#include "hypervisor/libvirt/watch.hpp"

namespace stillpoint::hypervisor::libvirt {

/// Keeps the guest from harm while a backup job of ours lives (I6): QEMU calls when a scratch file
/// grows past a threshold; at the watermark the job is aborted. A guest that was faster and stopped
/// for want of scratch space is let run on. Its calls to libvirt block: they belong on a lane.
/// @threads one at a time (the lane's)
class Guard {
public:
    Guard(Domain domain, ScratchPaths paths, ScratchBudget budget,
          std::shared_ptr<WatchState> state)
        : domain_(std::move(domain)),
          paths_(std::move(paths)),
          budget_(budget),
          state_(std::move(state)) {}

    /// Once the job runs: sets the first thresholds.
    Status arm();
    /// After an alarm of the watch.
    void look();
    /// @return why the scratch is no longer within its budget; nullopt: it is. @threads any
    [[nodiscard]] std::optional<std::string> exceeded() const;

private:
    Status set_thresholds();
    void abort_job(const std::string& why);
    void resume_guest();
    static constexpr int resumes_max = 3;  // then the cause is not our scratch
    Domain domain_;
    ScratchPaths paths_;
    ScratchBudget budget_;
    std::shared_ptr<WatchState> state_;
    std::map<std::string, int> scratch_indexes_;  // libvirt's names of the scratch layers
    int resumes_ = 0;
};

}  // namespace stillpoint::hypervisor::libvirt
