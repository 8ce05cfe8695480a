#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/facts.hpp"

/// libvirt's checkpoints of ours: metadata that libvirt needs to merge a bitmap into a backup. The
/// checkpoint's name is the bitmap's name. Foreign ones are never touched. Everything here blocks:
/// call on a lane.
namespace stillpoint::hypervisor::libvirt {

/// @return names of ours that libvirt knows for this domain
[[nodiscard]] Result<std::set<std::string>> list_checkpoints(virDomainPtr domain);

/// Deletes a checkpoint and its bitmaps on all disks; what does not exist is success. A VM that is
/// shut off loses the metadata alone: its bitmap stays in the image until the next run sees it.
[[nodiscard]] Status delete_checkpoint(virDomainPtr domain, const std::string& name);

/// Makes the checkpoint of a parent bitmap known again when libvirt lost its metadata (the domain
/// was undefined, or is transient). A bitmap that cannot be had back is removed, so that the next
/// run reads that disk whole instead of failing again.
/// @errors refused, id "bitmap.unusable"
[[nodiscard]] Status adopt_parent(virDomainPtr domain, const Facts& facts, const std::string& name);

/// Forgets checkpoints of ours whose bitmap exists on no disk.
[[nodiscard]] Status forget_empty_checkpoints(virDomainPtr domain, const Facts& facts);

/// Vm::remove_bitmaps for a running VM. Where only some of the disks that hold a bitmap are named,
/// it is removed from those alone and the checkpoint stays.
[[nodiscard]] Status remove_bitmaps(virDomainPtr domain, const Facts& facts,
                                    const std::map<std::string, std::vector<std::string>>& by_disk);

}  // namespace stillpoint::hypervisor::libvirt
