#pragma once
#include <map>
#include <string>
#include <vector>

#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/facts.hpp"

/// Change tracking where libvirt has none: raw images, block devices and the qcow2 of old cannot
/// store a bitmap, so libvirt refuses checkpoints for them. QEMU keeps one for us as long as it
/// runs, made and shown through its monitor. Both halves err on the safe side: the new bitmap
/// begins before the instant, and the copy for the reader is made after it, while the old one
/// records on.
namespace stillpoint::hypervisor::libvirt {

/// Disks of a plan that libvirt cannot track but QEMU can.
[[nodiscard]] std::vector<DiskPlan> own_tracking(const std::vector<DiskPlan>& plans,
                                                 const Facts& facts);

/// Starts the new bitmaps. Blocks: call on a lane. @errors refused, id "qemu.refused"
[[nodiscard]] Status start_bitmaps(virDomainPtr domain, const Facts& facts,
                                   const std::vector<DiskPlan>& disks);

/// Exports that show a disk with its changes beside the one that libvirt made, by disk. They end
/// with libvirt's NBD server. A disk for which none can be had is left out: libvirt's own export
/// shows it too, to be read whole. Blocks: call on a lane, after the backup began.
[[nodiscard]] std::map<std::string, DiskExport> export_changes(virDomainPtr domain,
                                                               const std::vector<DiskPlan>& disks);

}  // namespace stillpoint::hypervisor::libvirt
