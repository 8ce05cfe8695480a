#include "hypervisor/qmp/actions.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

constexpr std::int64_t new_granularity_bytes = limits::chunk_bytes_default;

Value action(const char* type, Map data) {
    return Map{{"type", type}, {"data", std::move(data)}};
}

void add_frozen_copy(Array& actions, const SessionDisk& disk) {
    actions.push_back(action("block-dirty-bitmap-add", {{"node", disk.scratch_node},
                                                        {"name", frozen_bitmap},
                                                        {"granularity", disk.granularity_bytes},
                                                        {"disabled", true}}));
    actions.push_back(
        action("block-dirty-bitmap-merge",
               {{"node", disk.scratch_node},
                {"target", frozen_bitmap},
                {"bitmaps", Array{Map{{"node", disk.source}, {"name", disk.parent_bitmap}}}}}));
}

}  // namespace

Array instant_actions(const Session& session) {
    Array actions;
    for (const SessionDisk& disk : session.disks) {
        if (!disk.parent_bitmap.empty()) add_frozen_copy(actions, disk);
        if (!disk.new_bitmap.empty()) {
            actions.push_back(
                action("block-dirty-bitmap-add", {{"node", disk.source},
                                                  {"name", disk.new_bitmap},
                                                  {"persistent", disk.persistent},
                                                  {"granularity", new_granularity_bytes}}));
        }
        if (session.mode == Mode::backup_job) {
            actions.push_back(action("blockdev-backup", {{"job-id", disk.job_id},
                                                         {"device", disk.source},
                                                         {"target", disk.scratch_node},
                                                         {"sync", "none"}}));
        }
    }
    return actions;
}

Map scratch_node(const SessionDisk& disk, Mode mode) {
    // no-flush: the scratch is worthless after a crash, and flushing gigabytes of it when the node
    // is removed would hold up QEMU's main loop.
    const Map cache{{"no-flush", true}};
    Map node{{"driver", "qcow2"},
             {"node-name", disk.scratch_node},
             {"cache", cache},
             {"file", Map{{"driver", "file"},
                          {"node-name", disk.scratch_file_node},
                          {"filename", disk.scratch_path},
                          {"cache", cache}}}};
    // The very node that the filter or job copies from: QEMU then orders its copies with the
    // reader's requests. Another node of the same content would race.
    node["backing"] = mode == Mode::backup_job ? disk.source : disk.root;
    return node;
}

Map filter_node(const SessionDisk& disk) {
    // discard: what the guest trims while the filter is there must reach the disk. The node below
    // has the say whether it does.
    return {{"driver", "copy-before-write"},
            {"node-name", disk.filter_node},
            {"discard", "unmap"},
            {"file", disk.root},
            {"target", disk.scratch_node},
            {"on-cbw-error", "break-snapshot"},
            {"cbw-timeout", copy_timeout_s}};
}

Map probe_node(const SessionDisk& disk) {
    return {
        {"driver", "snapshot-access"}, {"node-name", disk.probe_node}, {"file", disk.filter_node}};
}

Map view_export(const SessionDisk& disk) {
    Map nbd{{"type", "nbd"},
            {"id", disk.export_id},
            {"node-name", disk.scratch_node},
            {"name", disk.disk},
            {"writable", false}};
    if (!disk.parent_bitmap.empty()) nbd["bitmaps"] = Array{frozen_bitmap};
    return nbd;
}

Map probe_export(const SessionDisk& disk) {
    return {{"type", "nbd"},
            {"id", disk.probe_id},
            {"node-name", disk.probe_node},
            {"name", disk.probe_id},
            {"writable", false}};
}

}  // namespace stillpoint::hypervisor::qmp
