#pragma once
#include <string>
#include <vector>

#include "hypervisor/qmp/ask.hpp"
#include "serialization/enum_text.hpp"
#include "serialization/fields.hpp"

/// One snapshot's names and choices, all decided before anything is done: the driver works from
/// this record, and so does the keeper after the driver's death.
namespace stillpoint::hypervisor::qmp {

/// How the frozen view is made (ADR-0008).
enum class Mode {
    copy_before_write,  // a filter per disk that breaks the snapshot, never the guest
    backup_job,         // a job per disk: a full scratch or a slow one stops the guest
};
inline constexpr serialization::EnumTable<Mode, 2> mode_names{
    {{Mode::copy_before_write, "copy-before-write"}, {Mode::backup_job, "backup-job"}}};
SP_ENUM_TEXT(Mode, mode_names)

// The guest's first write after the instant may wait this long for the scratch, then the snapshot
// breaks. Well below the 30 s after which a Linux guest resets its SCSI disk.
inline constexpr int copy_timeout_s = 5;
inline constexpr Version copy_before_write_since{7, 1};  // on-cbw-error, cbw-timeout
inline constexpr Version oldest_qemu{6, 0};
// Older ones abort, guest and all, when a client leaves an NBD export that runs in an iothread
// (blockdev-nbd.c: nbd_blockdev_client_closed; seen with 7.2.22, ADR-0008).
inline constexpr Version iothread_exports_since{8, 2, 2};
// The copy that the reader sees lives on our scratch node and ends with it.
inline constexpr const char* frozen_bitmap = "stillpoint-frozen";
inline constexpr const char* our_bitmaps = "stillpoint-";

struct SessionDisk {
    std::string disk;
    std::string qdev;
    std::string device_path;
    std::string root;    // what the device sat on before us
    std::string source;  // active layer: bitmaps live here
    std::string image_path;
    std::int64_t size_bytes = 0;
    std::string parent_bitmap;           // empty: the whole disk is read
    std::string new_bitmap;              // empty: none wanted
    bool persistent = false;             // of new_bitmap
    std::int64_t granularity_bytes = 0;  // of parent_bitmap
    std::string scratch_path;
    std::string scratch_node, scratch_file_node;
    std::string filter_node;           // copy_before_write
    std::string probe_node, probe_id;  // copy_before_write: reads fail once the snapshot broke
    std::string job_id;                // backup_job
    std::string export_id;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("disk", s.disk);
        v("qdev", s.qdev);
        v("device_path", s.device_path);
        v("root", s.root);
        v("source", s.source);
        v("image_path", s.image_path);
        v("size_bytes", s.size_bytes);
        v("parent_bitmap", s.parent_bitmap);
        v("new_bitmap", s.new_bitmap);
        v("persistent", s.persistent);
        v("granularity_bytes", s.granularity_bytes);
        v("scratch_path", s.scratch_path);
        v("scratch_node", s.scratch_node);
        v("scratch_file_node", s.scratch_file_node);
        v("filter_node", s.filter_node);
        v("probe_node", s.probe_node);
        v("probe_id", s.probe_id);
        v("job_id", s.job_id);
        v("export_id", s.export_id);
    }
};

struct Session {
    std::string driver = "qmp";
    std::string socket;
    std::string label;
    std::int64_t qemu_pid = 0;
    Mode mode = Mode::copy_before_write;
    std::string mode_reason;  // why not copy_before_write; empty: it is
    std::string folder;       // ours alone, inside the job folder; QEMU's user owns it
    std::string nbd_socket;
    std::string phase_file;
    std::vector<SessionDisk> disks;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("driver", s.driver);
        v("socket", s.socket);
        v("label", s.label);
        v("qemu_pid", s.qemu_pid);
        v("mode", s.mode);
        v("mode_reason", s.mode_reason);
        v("folder", s.folder);
        v("nbd_socket", s.nbd_socket);
        v("phase_file", s.phase_file);
        v("disks", s.disks);
    }
};

/// The monitor a session is made for.
struct Monitor {
    std::string socket;
    std::string label;
    std::int64_t qemu_pid = 0;
    Version version;
};

inline constexpr const char* nbd_socket_name = "nbd.sock";

/// Names inside QEMU: "stillpoint-" kind suffix, with the suffix "-" tag "-" number of the disk.
enum class NodeKind { scratch, scratch_file, filter, probe, job, view_export };
[[nodiscard]] std::string session_name(NodeKind kind, const std::string& suffix);
/// Sets every name inside QEMU from the suffix.
void name_nodes(SessionDisk& disk, const std::string& suffix);

/// Which modes may be chosen; for tests and for users who distrust a mode.
enum class ModeChoice { safest, only_backup_job };

/// Pure. `tag` (8 hex digits) makes the node names of each run its own.
/// @errors not_found, id "vm.no_such_disk" · invalid, id "qmp.parent_bitmap": the parent is not a
///         usable bitmap of the active layer · unsupported, id "qmp.too_old", "qmp.iothread"
[[nodiscard]] Result<Session> plan_session(const std::vector<DeviceFacts>& devices,
                                           const SnapshotPlan& plan, const Monitor& monitor,
                                           ModeChoice choice, const std::string& tag);

}  // namespace stillpoint::hypervisor::qmp
