#pragma once
#include <memory>
#include <string>
#include <vector>

#include "test_domain.hpp"

namespace stillpoint::test {

/// One backup of a test domain, step by step; names as the route gives them.
/// @threads one
class BackupSteps {
public:
    explicit BackupSteps(const std::string& vm)
        : vm_(must(hypervisor::open_libvirt_vm("qemu:///system", vm, clock_))) {}

    /// @param parent bitmap for disks that hold a usable one of that name; others are read whole
    void plan(const std::vector<std::string>& disks, const std::string& parent,
              const std::string& fresh, const env::Path& folder = job_folder());
    void capture();  // prepare, take, open_exports
    [[nodiscard]] const hypervisor::DiskExport& view(const std::string& disk) const;
    void end(hypervisor::Snapshot::Outcome outcome) { must(snapshot().end(outcome, soon())); }

    [[nodiscard]] hypervisor::VmInfo inspect() { return must(vm_->inspect(soon())); }
    [[nodiscard]] hypervisor::DiskInfo inspect(const std::string& disk);
    [[nodiscard]] hypervisor::BitmapState state_of(const std::string& disk,
                                                   const std::string& bitmap);
    [[nodiscard]] hypervisor::Snapshot& snapshot() { return *snapshot_; }
    [[nodiscard]] hypervisor::Vm& vm() { return *vm_; }
    void drop() { snapshot_.reset(); }
    [[nodiscard]] const env::Path& folder() const { return folder_; }
    [[nodiscard]] env::Deadline soon() const { return {clock_, std::chrono::seconds{60}}; }
    hypervisor::SnapshotTimes times;
    std::optional<ByteCount> scratch_budget;  // of the next plan

private:
    env::SystemClock clock_;
    std::unique_ptr<hypervisor::Vm> vm_;
    std::unique_ptr<hypervisor::Snapshot> snapshot_;
    std::vector<hypervisor::DiskExport> exports_;
    env::Path folder_;
};

inline void BackupSteps::plan(const std::vector<std::string>& disks, const std::string& parent,
                              const std::string& fresh, const env::Path& folder) {
    folder_ = folder;
    hypervisor::SnapshotPlan plan{.disks = {}, .job_folder = folder, .point_id = "point"};
    plan.scratch_budget = scratch_budget;
    for (const std::string& disk : disks) {
        const bool counted = state_of(disk, parent) == hypervisor::BitmapState::usable;
        plan.disks.push_back({.name = disk,
                              .parent_bitmap = counted ? parent : "",
                              .new_bitmap = inspect(disk).persistent_bitmaps ? fresh : ""});
    }
    snapshot_ = must(vm_->plan_snapshot(plan));
}

inline void BackupSteps::capture() {
    must(snapshot_->prepare(soon(), env::CancelToken{}));
    times = must(snapshot_->take(soon()));
    exports_ = must(snapshot_->open_exports(soon()));
}

inline const hypervisor::DiskExport& BackupSteps::view(const std::string& disk) const {
    for (const auto& item : exports_) {
        if (item.disk == disk) return item;
    }
    throw std::runtime_error("no export of " + disk);
}

inline hypervisor::DiskInfo BackupSteps::inspect(const std::string& disk) {
    for (auto& item : inspect().disks) {
        if (item.name == disk) return item;
    }
    throw std::runtime_error("no disk " + disk);
}

inline hypervisor::BitmapState BackupSteps::state_of(const std::string& disk,
                                                     const std::string& bitmap) {
    for (const auto& item : inspect(disk).bitmaps) {
        if (item.name == bitmap) return item.state;
    }
    return hypervisor::BitmapState::absent;
}

}  // namespace stillpoint::test
