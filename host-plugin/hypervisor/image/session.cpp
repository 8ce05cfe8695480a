#include "hypervisor/image/session.hpp"

#include <algorithm>

namespace stillpoint::hypervisor::image {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

Result<KnownDisk> find_disk(const std::vector<KnownDisk>& known, const std::string& name) {
    const auto found = std::find_if(known.begin(), known.end(),
                                    [&](const KnownDisk& k) { return k.disk.name == name; });
    if (found == known.end()) {
        return fail(Errc::not_found, "vm.no_such_disk", "the VM has no disk " + name,
                    "`stillpoint backup` without --disk takes all disks");
    }
    if (found->facts.unreadable.empty()) return *found;
    return fail(Errc::refused, "image.unreadable",
                "disk " + name + " cannot be read while the VM is off: " + found->facts.unreadable,
                "back this disk up while the VM runs, or leave it out with --disk");
}

Status check_parent(const KnownDisk& known, const std::string& parent) {
    const auto& bitmaps = known.facts.bitmaps;
    const bool usable = std::any_of(bitmaps.begin(), bitmaps.end(), [&](const BitmapInfo& b) {
        return b.name == parent && b.state == BitmapState::usable;
    });
    if (parent.empty() || usable) return {};
    return fail(Errc::refused, "bitmap.unusable",
                "bitmap " + parent + " of disk " + known.disk.name + " cannot be used",
                "run the backup again: that disk is then read whole");
}

std::string protocol_of(const DiskStamp& stamp, const std::string& file) {
    for (std::size_t i = 0; i < stamp.files.size(); ++i) {
        if (stamp.files[i] == file && stamp.stamps[i].block_device) return "host_device";
    }
    return "file";
}

Map protocol_node(const std::string& driver, const std::string& path) {
    return {{"driver", driver}, {"filename", path}};
}

std::string edit_file(const SessionDisk& disk) {
    return disk.edit_node + "-file";
}
std::string edit_data(const SessionDisk& disk) {
    return disk.edit_node + "-data";
}

}  // namespace

Result<std::vector<SessionDisk>> plan_disks(
    const std::vector<KnownDisk>& known, const SnapshotPlan& plan,
    const std::map<std::string, std::vector<std::string>>& retire) {
    std::vector<SessionDisk> disks;
    for (const DiskPlan& wanted : plan.disks) {
        SP_ASSIGN(const KnownDisk found, find_disk(known, wanted.name));
        SP_TRY(check_parent(found, wanted.parent_bitmap));
        const std::string number = std::to_string(disks.size());
        SessionDisk disk;
        disk.disk = wanted.name;
        disk.path = found.disk.path;
        disk.format = found.disk.format;
        disk.data_file = found.facts.data_file;
        disk.parent_bitmap = wanted.parent_bitmap;
        if (found.facts.persistent_bitmaps) disk.new_bitmap = wanted.new_bitmap;
        if (const auto orphans = retire.find(wanted.name); orphans != retire.end()) {
            disk.retire = orphans->second;
        }
        disk.before = found.stamp;
        disk.view_node = "view-" + number;
        disk.protocol = protocol_of(found.stamp, found.disk.path);
        disk.data_protocol = protocol_of(found.stamp, disk.data_file);
        disk.edit_node = "edit-" + number;
        disks.push_back(std::move(disk));
    }
    return disks;
}

Map view_node(const SessionDisk& disk) {
    return {{"driver", disk.format},
            {"node-name", disk.view_node},
            {"read-only", true},
            {"force-share", true},
            {"file", protocol_node(disk.protocol, disk.path)}};
}

Map view_export(const SessionDisk& disk) {
    Map nbd{{"type", "nbd"},
            {"id", "export-" + disk.view_node},
            {"node-name", disk.view_node},
            {"name", disk.disk},
            {"writable", false}};
    if (!disk.parent_bitmap.empty()) nbd["bitmaps"] = Array{disk.parent_bitmap};
    return nbd;
}

std::vector<Map> edit_nodes(const SessionDisk& disk) {
    std::vector<Map> nodes;
    // auto-read-only: the file is opened for writing only once the image is.
    Map file = protocol_node(disk.protocol, disk.path);
    file["node-name"] = edit_file(disk);
    file["auto-read-only"] = true;
    nodes.push_back(std::move(file));
    if (!disk.data_file.empty()) {
        Map data = protocol_node(disk.data_protocol, disk.data_file);
        data["node-name"] = edit_data(disk);
        data["auto-read-only"] = true;
        nodes.push_back(std::move(data));
    }
    nodes.push_back(edit_options(disk, Access::read_only));
    return nodes;
}

Map edit_options(const SessionDisk& disk, Access access) {
    Map options{{"driver", disk.format},
                {"node-name", disk.edit_node},
                {"read-only", access == Access::read_only},
                {"file", edit_file(disk)},
                {"backing", Value{}}};
    if (!disk.data_file.empty()) options["data-file"] = edit_data(disk);
    return options;
}

}  // namespace stillpoint::hypervisor::image
