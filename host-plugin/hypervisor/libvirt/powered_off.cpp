#include "hypervisor/libvirt/powered_off.hpp"

#include <algorithm>
#include <set>

#include "hypervisor/libvirt/checkpoints.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

std::string obstacle(const DomainDisk& disk) {
    if (!disk.local_path) return disk.path + " is no local file or block device";
    if (disk.encrypted) return disk.path + " is encrypted and only libvirt has its secret";
    if (disk.sliced) return "the disk is a part of " + disk.path;
    return {};
}

bool still_holds(const DiskInfo& disk, const std::string& bitmap,
                 const std::map<std::string, std::vector<std::string>>& going) {
    const bool there = std::any_of(disk.bitmaps.begin(), disk.bitmaps.end(),
                                   [&](const BitmapInfo& info) { return info.name == bitmap; });
    const auto goes = going.find(disk.name);
    return there && (goes == going.end() || std::find(goes->second.begin(), goes->second.end(),
                                                      bitmap) == goes->second.end());
}

}  // namespace

std::vector<ImageDisk> images_of(const Facts& facts) {
    std::vector<ImageDisk> images;
    for (const DomainDisk& disk : facts.xml.disks) {
        images.push_back({.name = disk.name,
                          .path = disk.path,
                          .format = disk.format,
                          .serial = disk.serial,
                          .serial_known = true,
                          .read_only = disk.read_only,
                          .unreadable = obstacle(disk)});
    }
    return images;
}

bool ended_cleanly(int state, int reason, int saved_images) {
    return state == VIR_DOMAIN_SHUTOFF && reason == VIR_DOMAIN_SHUTOFF_SHUTDOWN &&
           saved_images == 0;
}

Result<bool> ask_clean_shutdown(virDomainPtr domain) {
    int state = 0;
    int reason = 0;
    if (virDomainGetState(domain, &state, &reason, 0) < 0) {
        return fail(last_error("read the VM's state"));
    }
    if (state != VIR_DOMAIN_SHUTOFF) {
        return fail(Errc::busy, "image.vm_started", "the VM was started while it was looked at",
                    "run the backup again");
    }
    // -1: not known, which proves nothing.
    return ended_cleanly(state, reason, virDomainHasManagedSaveImage(domain, 0));
}

std::vector<std::string> forgotten_with(
    const VmInfo& vm, const std::map<std::string, std::vector<std::string>>& by_disk) {
    std::set<std::string> names;
    for (const auto& [disk, bitmaps] : by_disk) names.insert(bitmaps.begin(), bitmaps.end());
    std::vector<std::string> forgotten;
    for (const std::string& name : names) {
        const bool needed =
            std::any_of(vm.disks.begin(), vm.disks.end(),
                        [&](const DiskInfo& disk) { return still_holds(disk, name, by_disk); });
        if (!needed) forgotten.push_back(name);
    }
    return forgotten;
}

Status forget_checkpoints(virDomainPtr domain, const std::vector<std::string>& names) {
    Status first;
    for (const std::string& name : names) {
        // Started meanwhile: the running driver tidies up, and must not lose a bitmap to us.
        if (virDomainIsActive(domain) == 1) return first;
        Status deleted = delete_checkpoint(domain, name);
        if (first && !deleted) first = std::move(deleted);
    }
    return first;
}

Status PoweredOffSnapshot::end(Outcome outcome, const env::Deadline& deadline) {
    SP_TRY(images_->end(outcome, deadline));
    if (outcome == Outcome::failed || retired_.empty()) return {};
    return connection_->call<void>(deadline, "forget checkpoints",
                                   [domain = domain_, names = retired_](virConnectPtr) {
                                       return forget_checkpoints(domain.get(), names);
                                   });
}

}  // namespace stillpoint::hypervisor::libvirt
