#pragma once
#include <string>

#include "hypervisor/libvirt/facts.hpp"

/// What is checked before the guest is frozen, because BackupBegin would tell it inside the freeze.
namespace stillpoint::hypervisor::libvirt {

/// Pure. @errors invalid, id "snapshot.plan": a disk twice, no disk, or two new bitmaps (a
/// checkpoint has one name)
[[nodiscard]] Status check_names(const SnapshotPlan& plan);

/// Pure: the plan against what the VM is now.
/// @errors unsupported, id "vm.not_running" · not_found, id "disk.not_found" · refused, id
/// "bitmap.unusable"
[[nodiscard]] Status check_plan(const SnapshotPlan& snapshot, const Facts& facts);

/// Pure: libvirt makes no checkpoint on a format that holds no bitmap (raw, qcow2 of version 2).
/// Such a disk is backed up without one, beside disks that have one.
[[nodiscard]] SnapshotPlan without_impossible_bitmaps(SnapshotPlan snapshot, const Facts& facts);

/// @errors busy, id "vm.busy": a copy, commit or pull works on the disk. Blocks: call on a lane
[[nodiscard]] Status check_block_job(virDomainPtr domain, const std::string& disk);

/// Ends a backup of ours that is left from a run whose owner and keeper both died: under the VM's
/// lock no run of ours lives. Blocks: call on a lane
/// @errors busy, id "vm.busy": somebody else's job
[[nodiscard]] Status end_dead_job(virDomainPtr domain, const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::libvirt
