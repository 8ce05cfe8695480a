#include "hypervisor/libvirt/preflight.hpp"

#include <algorithm>
#include <set>

#include "hypervisor/libvirt/job.hpp"
#include "hypervisor/libvirt/scratch.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

Status check_parent(const DiskPlan& plan, const DiskInfo& disk) {
    if (plan.parent_bitmap.empty()) return {};
    const bool usable =
        std::any_of(disk.bitmaps.begin(), disk.bitmaps.end(), [&](const BitmapInfo& bitmap) {
            return bitmap.name == plan.parent_bitmap && bitmap.state == BitmapState::usable;
        });
    if (usable) return {};
    return fail(Errc::refused, "bitmap.unusable",
                "bitmap " + plan.parent_bitmap + " of disk " + disk.name + " cannot be used",
                "run the backup again: that disk is then read whole");
}

}  // namespace

Status check_names(const SnapshotPlan& plan) {
    std::set<std::string> disks;
    std::set<std::string> starting;
    for (const DiskPlan& disk : plan.disks) {
        if (!disks.insert(disk.name).second) {
            return fail(Errc::invalid, "snapshot.plan", "disk " + disk.name + " is planned twice");
        }
        if (!disk.new_bitmap.empty()) starting.insert(disk.new_bitmap);
    }
    if (plan.disks.empty()) return fail(Errc::invalid, "snapshot.plan", "no disk is planned");
    if (starting.size() > 1) {
        return fail(Errc::invalid, "snapshot.plan",
                    "a libvirt checkpoint has one name for all disks");
    }
    return {};
}

Status check_plan(const SnapshotPlan& snapshot, const Facts& facts) {
    if (!is_active(facts)) {
        return fail(Errc::unsupported, "vm.not_running", "VM " + facts.vm.name + " is shut off",
                    "start it");
    }
    for (const DiskPlan& plan : snapshot.disks) {
        const auto disk =
            std::find_if(facts.vm.disks.begin(), facts.vm.disks.end(),
                         [&](const DiskInfo& info) { return info.name == plan.name; });
        if (disk == facts.vm.disks.end() || disk->read_only) {
            return fail(Errc::not_found, "disk.not_found",
                        "VM " + facts.vm.name + " has no writable disk " + plan.name);
        }
        SP_TRY(check_parent(plan, *disk));
    }
    return {};
}

SnapshotPlan without_impossible_bitmaps(SnapshotPlan snapshot, const Facts& facts) {
    for (DiskPlan& plan : snapshot.disks) {
        for (const DiskInfo& disk : facts.vm.disks) {
            if (disk.name != plan.name || disk.persistent_bitmaps || disk.transient_bitmaps)
                continue;
            plan.new_bitmap.clear();
        }
    }
    return snapshot;
}

Status check_block_job(virDomainPtr domain, const std::string& disk) {
    virDomainBlockJobInfo info{};
    const int found = virDomainGetBlockJobInfo(domain, disk.c_str(), &info, 0);
    if (found < 0) return fail(last_error("ask for the block job of disk " + disk));
    if (found == 0) return {};
    return fail(Errc::busy, "vm.busy", "a block job (copy, commit or pull) works on disk " + disk,
                "retry when it has ended: virsh blockjob");
}

Status end_dead_job(virDomainPtr domain, const env::Deadline& deadline) {
    SP_ASSIGN(const auto job, running_job(domain));
    if (!job) return {};
    if (!job->is_ours()) {
        return fail(Errc::busy, "vm.busy", "the VM has a running job: " + job->describe(),
                    "retry when it has ended: virsh domjobinfo");
    }
    SP_TRY(end_backup(domain, job->backup_socket, deadline));
    ScratchPaths left;
    left.socket = job->backup_socket;
    left.folder = left.socket.parent_path();
    for (const std::string& file : job->scratch) left.files[file] = file;
    return remove_scratch(left);
}

}  // namespace stillpoint::hypervisor::libvirt
