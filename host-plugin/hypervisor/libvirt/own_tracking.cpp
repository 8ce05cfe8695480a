#include "hypervisor/libvirt/own_tracking.hpp"

#include <algorithm>

#include "base/limits.hpp"
#include "hypervisor/libvirt/backup_xml.hpp"
#include "hypervisor/libvirt/monitor.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

// On our scratch node, gone with it; never on the guest's.
constexpr const char* frozen_bitmap = "stillpoint-frozen";

Result<const Node*> active_node(const Facts& facts, const std::string& disk) {
    const Node* node = facts.active_node(disk);
    if (node != nullptr) return node;
    return fail(Errc::not_found, "disk.not_found", "disk " + disk + " has no block node in QEMU");
}

std::int64_t granularity_of(const Node& node, const std::string& bitmap) {
    for (const NodeBitmap& one : node.bitmaps) {
        if (one.name == bitmap) return one.granularity_bytes;
    }
    return limits::chunk_bytes_default;
}

Value action(const char* type, Map data) {
    return Map{{"type", type}, {"data", std::move(data)}};
}

Status copy_bitmap(virDomainPtr domain, const Node& source, const std::string& bitmap,
                   const std::string& scratch) {
    Array actions{action("block-dirty-bitmap-add", {{"node", scratch},
                                                    {"name", frozen_bitmap},
                                                    {"granularity", granularity_of(source, bitmap)},
                                                    {"disabled", true}}),
                  action("block-dirty-bitmap-merge",
                         {{"node", scratch},
                          {"target", frozen_bitmap},
                          {"bitmaps", Array{Map{{"node", source.name}, {"name", bitmap}}}}})};
    return run_monitor(domain, "copy bitmap " + bitmap, "transaction",
                       {{"actions", std::move(actions)}});
}

Result<DiskExport> export_one(virDomainPtr domain, const Node& source, const DiskPlan& plan,
                              const RunningBackup& backup) {
    const auto index = backup.scratch_indexes.find(plan.name);
    if (index == backup.scratch_indexes.end()) {
        return fail(Errc::corrupt, "libvirt.xml",
                    "libvirt does not say which node is the scratch of disk " + plan.name);
    }
    const std::string scratch = "libvirt-" + std::to_string(index->second) + "-format";
    SP_TRY(copy_bitmap(domain, source, plan.parent_bitmap, scratch));
    DiskExport shown;
    shown.disk = plan.name;
    shown.socket = backup.socket;
    shown.export_name = "stillpoint-" + plan.name;
    shown.dirty_context = std::string{"qemu:dirty-bitmap:"} + frozen_bitmap;
    SP_TRY(run_monitor(domain, "show the changes of disk " + plan.name, "block-export-add",
                       {{"type", "nbd"},
                        {"id", shown.export_name},
                        {"node-name", scratch},
                        {"name", shown.export_name},
                        {"writable", false},
                        {"bitmaps", Array{frozen_bitmap}}}));
    return shown;
}

}  // namespace

std::vector<DiskPlan> own_tracking(const std::vector<DiskPlan>& plans, const Facts& facts) {
    std::vector<DiskPlan> ours;
    std::copy_if(plans.begin(), plans.end(), std::back_inserter(ours), [&](const DiskPlan& plan) {
        const Node* node = facts.active_node(plan.name);
        return node != nullptr && !node->holds_bitmaps;
    });
    return ours;
}

Status start_bitmaps(virDomainPtr domain, const Facts& facts, const std::vector<DiskPlan>& disks) {
    for (const DiskPlan& disk : disks) {
        if (disk.new_bitmap.empty()) continue;
        SP_ASSIGN(const Node* node, active_node(facts, disk.name));
        SP_TRY(run_monitor(domain, "start bitmap " + disk.new_bitmap, "block-dirty-bitmap-add",
                           {{"node", node->name},
                            {"name", disk.new_bitmap},
                            {"granularity", std::int64_t{limits::chunk_bytes_default}},
                            {"persistent", false}}));
    }
    return {};
}

std::map<std::string, DiskExport> export_changes(virDomainPtr domain,
                                                 const std::vector<DiskPlan>& disks) {
    std::map<std::string, DiskExport> exports;
    const bool any = std::any_of(disks.begin(), disks.end(),
                                 [](const DiskPlan& plan) { return !plan.parent_bitmap.empty(); });
    if (!any) return exports;
    const auto facts = read_facts(domain);
    const Text xml{virDomainBackupGetXMLDesc(domain, 0)};
    if (!facts || !xml) return exports;
    const auto backup = parse_backup(xml.get());
    if (!backup) return exports;
    for (const DiskPlan& disk : disks) {
        const Node* node = facts->active_node(disk.name);
        if (disk.parent_bitmap.empty() || node == nullptr) continue;
        // A libvirt that names its nodes in another way costs reads, not backups.
        auto shown = export_one(domain, *node, disk, *backup);
        if (shown) exports.emplace(disk.name, std::move(*shown));
    }
    return exports;
}

}  // namespace stillpoint::hypervisor::libvirt
