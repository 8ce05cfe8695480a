#include "hypervisor/qmp/session.hpp"

#include <algorithm>

namespace stillpoint::hypervisor::qmp {
namespace {

Result<DeviceFacts> find_device(const std::vector<DeviceFacts>& devices, const std::string& disk) {
    const auto found = std::find_if(devices.begin(), devices.end(),
                                    [&](const DeviceFacts& d) { return d.disk == disk; });
    if (found != devices.end()) return *found;
    return fail(Errc::not_found, "vm.no_such_disk", "the VM has no disk " + disk,
                "`stillpoint backup` without --disk takes all disks");
}

Result<std::int64_t> parent_granularity(const DeviceFacts& device, const std::string& parent) {
    if (parent.empty()) return 0;
    for (const BitmapInfo& bitmap : device.source.bitmaps) {
        if (bitmap.name == parent && bitmap.state == BitmapState::usable) {
            return std::int64_t{bitmap.granularity_bytes};
        }
    }
    return fail(Errc::invalid, "qmp.parent_bitmap",
                "disk " + device.disk + " has no usable bitmap " + parent +
                    " on its active layer (node " + device.source.name + ")",
                "back this disk up in full");
}

Result<SessionDisk> plan_disk(const DeviceFacts& device, const DiskPlan& wanted,
                              const env::Path& folder, const std::string& suffix) {
    SessionDisk disk;
    SP_ASSIGN(disk.granularity_bytes, parent_granularity(device, wanted.parent_bitmap));
    disk.disk = device.disk;
    disk.qdev = device.qdev;
    disk.device_path = device.device_path;
    disk.root = device.root;
    disk.source = device.source.name;
    disk.image_path = device.source.filename;
    disk.size_bytes = static_cast<std::int64_t>(device.source.size.raw());
    disk.parent_bitmap = wanted.parent_bitmap;
    disk.new_bitmap = wanted.new_bitmap;
    disk.persistent = device.source.persistent_bitmaps;
    disk.scratch_path = folder / ("scratch" + suffix);
    name_nodes(disk, suffix);
    return disk;
}

std::string text_of(const Version& version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
           std::to_string(version.micro);
}

Status check_version(const Version& version) {
    if (version >= oldest_qemu) return {};
    return fail(Errc::unsupported, "qmp.too_old", "QEMU " + text_of(version) + " is too old",
                "QEMU 6.0 is the oldest that works, 7.1 the oldest that protects the guest");
}

Status check_iothread(const DeviceFacts& device, const Version& version) {
    if (device.iothread.empty() || version >= iothread_exports_since) return {};
    return fail(Errc::unsupported, "qmp.iothread",
                "disk " + device.disk + " runs in " + device.iothread + ": QEMU " +
                    text_of(version) + " would crash with the VM when the backup ends",
                "use QEMU 8.2.2 or later, start the VM without iothread= for this disk, or leave "
                "the disk out with --disk");
}

std::string reason_against_filter(const std::vector<SessionDisk>& disks, const Version& version,
                                  ModeChoice choice) {
    if (choice == ModeChoice::only_backup_job) return "the backup-job mode was asked for";
    if (version < copy_before_write_since) {
        return "QEMU " + text_of(version) +
               " cannot break a snapshot instead of the guest (7.1 can)";
    }
    for (const SessionDisk& disk : disks) {
        if (disk.device_path.empty()) {
            return "disk " + disk.disk + " has no device whose drive can be replaced";
        }
    }
    return {};
}

}  // namespace

std::string session_name(NodeKind kind, const std::string& suffix) {
    constexpr std::string_view letters = "sfcpje";  // in the order of NodeKind; names are short
    return std::string(our_bitmaps) + letters[static_cast<std::size_t>(kind)] + suffix;
}

void name_nodes(SessionDisk& disk, const std::string& suffix) {
    disk.scratch_node = session_name(NodeKind::scratch, suffix);
    disk.scratch_file_node = session_name(NodeKind::scratch_file, suffix);
    disk.filter_node = session_name(NodeKind::filter, suffix);
    disk.probe_node = session_name(NodeKind::probe, suffix);
    disk.probe_id = disk.probe_node;
    disk.job_id = session_name(NodeKind::job, suffix);
    disk.export_id = session_name(NodeKind::view_export, suffix);
}

Result<Session> plan_session(const std::vector<DeviceFacts>& devices, const SnapshotPlan& plan,
                             const Monitor& monitor, ModeChoice choice, const std::string& tag) {
    SP_TRY(check_version(monitor.version));
    Session session;
    session.socket = monitor.socket;
    session.label = monitor.label;
    session.qemu_pid = monitor.qemu_pid;
    const env::Path folder = plan.job_folder / "qmp";
    session.folder = folder;
    session.nbd_socket = folder / nbd_socket_name;
    session.phase_file = folder / "phase";
    for (const DiskPlan& wanted : plan.disks) {
        SP_ASSIGN(const DeviceFacts device, find_device(devices, wanted.name));
        SP_TRY(check_iothread(device, monitor.version));
        const std::string suffix = "-" + tag + "-" + std::to_string(session.disks.size());
        SP_ASSIGN(SessionDisk disk, plan_disk(device, wanted, folder, suffix));
        session.disks.push_back(std::move(disk));
    }
    session.mode_reason = reason_against_filter(session.disks, monitor.version, choice);
    session.mode = session.mode_reason.empty() ? Mode::copy_before_write : Mode::backup_job;
    return session;
}

}  // namespace stillpoint::hypervisor::qmp
