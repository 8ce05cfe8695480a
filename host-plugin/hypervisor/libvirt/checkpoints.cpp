#include "hypervisor/libvirt/checkpoints.hpp"

#include <libvirt/virterror.h>

#include <algorithm>

#include "hypervisor/libvirt/backup_xml.hpp"
#include "hypervisor/libvirt/monitor.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

struct CheckpointList {
    virDomainCheckpointPtr* items = nullptr;
    int count = 0;
    CheckpointList() = default;
    CheckpointList(const CheckpointList&) = delete;
    CheckpointList& operator=(const CheckpointList&) = delete;
    ~CheckpointList() {
        for (int i = 0; i < count; ++i) virDomainCheckpointFree(items[i]);
        std::free(items);
    }
};

bool holds(const DiskInfo& disk, const std::string& bitmap) {
    return std::any_of(disk.bitmaps.begin(), disk.bitmaps.end(),
                       [&](const BitmapInfo& info) { return info.name == bitmap; });
}

std::vector<std::string> disks_holding(const Facts& facts, const std::string& bitmap) {
    std::vector<std::string> names;
    for (const DiskInfo& disk : facts.vm.disks) {
        if (holds(disk, bitmap)) names.push_back(disk.name);
    }
    return names;
}

// Those that libvirt can make a checkpoint for.
std::vector<std::string> disks_storing(const Facts& facts, const std::string& bitmap) {
    std::vector<std::string> names;
    for (const DiskInfo& disk : facts.vm.disks) {
        if (disk.persistent_bitmaps && holds(disk, bitmap)) names.push_back(disk.name);
    }
    return names;
}

// Any layer counts: a checkpoint is still of use to libvirt when an overlay hides its bitmap.
bool exists_anywhere(const Nodes& nodes, const std::string& bitmap) {
    return std::any_of(nodes.begin(), nodes.end(), [&](const auto& entry) {
        const auto& bitmaps = entry.second.bitmaps;
        return std::any_of(bitmaps.begin(), bitmaps.end(),
                           [&](const NodeBitmap& item) { return item.name == bitmap; });
    });
}

Status delete_with(virDomainPtr domain, const std::string& name, unsigned flags) {
    const Checkpoint point{virDomainCheckpointLookupByName(domain, name.c_str(), 0)};
    if (!point) {
        if (last_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT) return {};
        return fail(last_error("look up checkpoint " + name));
    }
    if (virDomainCheckpointDelete(point.get(), flags) < 0) {
        if (last_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT) return {};  // a keeper was faster
        return fail(last_error("delete checkpoint " + name));
    }
    return {};
}

Status remove_from_disk(virDomainPtr domain, const Facts& facts, const std::string& disk,
                        const std::string& bitmap) {
    const Node* node = facts.active_node(disk);
    const auto info = std::find_if(facts.vm.disks.begin(), facts.vm.disks.end(),
                                   [&](const DiskInfo& item) { return item.name == disk; });
    if (node == nullptr || info == facts.vm.disks.end() || !holds(*info, bitmap)) return {};
    return remove_bitmap(domain, node->name, bitmap);
}

// The bitmap on every active layer, then what libvirt knows of it.
Status delete_by_hand(virDomainPtr domain, const Facts& facts, const std::string& name) {
    for (const std::string& disk : disks_holding(facts, name)) {
        SP_TRY(remove_from_disk(domain, facts, disk, name));
    }
    return delete_with(domain, name, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY);
}

Status redefine(virDomainPtr domain, const Facts& facts, const std::string& name) {
    const std::vector<std::string> disks = disks_storing(facts, name);
    std::vector<std::string> left_out;
    for (const DiskInfo& disk : facts.vm.disks) {
        if (!disk.persistent_bitmaps || !holds(disk, name)) left_out.push_back(disk.name);
    }
    // The true time is not needed: libvirt orders checkpoints by parent, and ours has none known.
    const std::string xml = redefinition(name, disks, left_out, 0);
    const Checkpoint point{virDomainCheckpointCreateXML(
        domain, xml.c_str(),
        VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE)};
    if (!point) return fail(last_error("make checkpoint " + name + " known again"));
    return {};
}

// One name to remove, and from which disks.
struct Removal {
    std::string bitmap;
    std::set<std::string> disks;
};

std::vector<Removal> by_bitmap(const std::map<std::string, std::vector<std::string>>& by_disk) {
    std::map<std::string, std::set<std::string>> gathered;
    for (const auto& [disk, bitmaps] : by_disk) {
        for (const std::string& bitmap : bitmaps) gathered[bitmap].insert(disk);
    }
    std::vector<Removal> removals;
    removals.reserve(gathered.size());
    for (auto& [bitmap, disks] : gathered) removals.push_back({bitmap, std::move(disks)});
    return removals;
}

Status remove_one(virDomainPtr domain, const Facts& facts, const Removal& removal,
                  bool has_checkpoint) {
    if (!is_ours(removal.bitmap)) {
        return fail(Errc::invalid, "bitmap.foreign", removal.bitmap + " is no bitmap of ours");
    }
    const auto holders = disks_holding(facts, removal.bitmap);
    const bool everywhere = std::all_of(holders.begin(), holders.end(), [&](const auto& disk) {
        return removal.disks.contains(disk);
    });
    const bool with_checkpoint = has_checkpoint && everywhere;
    for (const std::string& disk : removal.disks) {
        // A checkpoint knows nothing of disks that libvirt cannot track.
        const Node* node = facts.active_node(disk);
        if (with_checkpoint && node != nullptr && node->holds_bitmaps) continue;
        SP_TRY(remove_from_disk(domain, facts, disk, removal.bitmap));
    }
    return with_checkpoint ? delete_checkpoint(domain, removal.bitmap) : Status{};
}

}  // namespace

Result<std::set<std::string>> list_checkpoints(virDomainPtr domain) {
    CheckpointList list;
    list.count = virDomainListAllCheckpoints(domain, &list.items, 0);
    if (list.count < 0) {
        list.count = 0;
        return fail(last_error("list the VM's checkpoints"));
    }
    std::set<std::string> names;
    for (int i = 0; i < list.count; ++i) {
        const std::string name = virDomainCheckpointGetName(list.items[i]);
        if (is_ours(name)) names.insert(name);
    }
    return names;
}

Status delete_checkpoint(virDomainPtr domain, const std::string& name) {
    if (virDomainIsActive(domain) != 1) {
        return delete_with(domain, name, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY);
    }
    if (delete_with(domain, name, 0)) return {};
    // libvirt deletes nothing when one of the checkpoint's disks lacks its bitmap.
    SP_ASSIGN(const Facts facts, read_facts(domain));
    return delete_by_hand(domain, facts, name);
}

Status adopt_parent(virDomainPtr domain, const Facts& facts, const std::string& name) {
    SP_ASSIGN(const std::set<std::string> known, list_checkpoints(domain));
    if (known.contains(name) || disks_storing(facts, name).empty()) return {};
    const Status redefined = redefine(domain, facts, name);
    if (redefined) return {};
    for (const std::string& disk : disks_storing(facts, name)) {
        SP_TRY(remove_from_disk(domain, facts, disk, name));
    }
    Error error = in_step("bitmap " + name + " was lost to libvirt", redefined.error());
    error.code = Errc::refused;
    error.id = "bitmap.unusable";
    error.remedy = "run the backup again: the disks are then read whole";
    return fail(std::move(error));
}

Status forget_empty_checkpoints(virDomainPtr domain, const Facts& facts) {
    SP_ASSIGN(const std::set<std::string> known, list_checkpoints(domain));
    for (const std::string& name : known) {
        if (exists_anywhere(facts.nodes, name)) continue;
        SP_TRY(delete_with(domain, name, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY));
    }
    return {};
}

Status remove_bitmaps(virDomainPtr domain, const Facts& facts,
                      const std::map<std::string, std::vector<std::string>>& by_disk) {
    SP_ASSIGN(const std::set<std::string> known, list_checkpoints(domain));
    Status first;
    for (const Removal& removal : by_bitmap(by_disk)) {
        Status status = remove_one(domain, facts, removal, known.contains(removal.bitmap));
        if (!status && first) first = std::move(status);
    }
    return first;
}

}  // namespace stillpoint::hypervisor::libvirt
