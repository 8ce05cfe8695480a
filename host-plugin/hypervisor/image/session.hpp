#pragma once
#include <map>
#include <string>
#include <vector>

#include "hypervisor/image/facts.hpp"
#include "hypervisor/image/writers.hpp"
#include "serialization/fields.hpp"

/// One backup's names and choices, decided before anything is done.
namespace stillpoint::hypervisor::image {

/// What a keeper must know to clean up after a dead owner.
struct KeeperOrder {
    std::string driver = "image";
    std::string label;
    std::string folder;  // ours alone, inside the job folder
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("driver", s.driver);
        v("label", s.label);
        v("folder", s.folder);
    }
    [[nodiscard]] env::Path nbd_socket() const { return env::Path{folder} / "nbd.sock"; }
    /// Number and start time of the storage daemon's process.
    [[nodiscard]] env::Path daemon_file() const { return env::Path{folder} / "daemon"; }
    [[nodiscard]] env::Path log_file() const { return env::Path{folder} / "daemon.log"; }
};

/// One disk as planned. Its nodes in the storage daemon are called after its number.
struct SessionDisk {
    std::string disk;
    std::string path;
    std::string format;
    std::string data_file;                // external data file of a qcow2; empty: none
    std::string protocol, data_protocol;  // drivers of the two files: "file" or "host_device"
    std::string parent_bitmap;            // empty: the whole disk is read
    std::string new_bitmap;               // empty: the format holds none
    std::vector<std::string> retire;      // orphans, removed together with the start of new_bitmap
    DiskStamp before;                     // as the VM was looked at
    std::string view_node;                // read by everybody, locked by nobody
    std::string edit_node;                // opened for the moments in which bitmaps are changed
    [[nodiscard]] bool changes_bitmaps() const { return !new_bitmap.empty() || !retire.empty(); }
};

/// What inspect() learned of a disk.
struct KnownDisk {
    ImageDisk disk;
    ImageFacts facts;
    DiskStamp stamp;
};

/// Pure. @param retire bitmaps that are to go, by disk
/// @errors not_found, id "vm.no_such_disk" · refused, id "image.unreadable" · refused, id
///         "bitmap.unusable": the parent is not usable
[[nodiscard]] Result<std::vector<SessionDisk>> plan_disks(
    const std::vector<KnownDisk>& known, const SnapshotPlan& plan,
    const std::map<std::string, std::vector<std::string>>& retire);

/// blockdev-add of the view: the whole chain, read only, no lock taken.
[[nodiscard]] serialization::Map view_node(const SessionDisk& disk);
/// block-export-add of the view, with the parent bitmap.
[[nodiscard]] serialization::Map view_export(const SessionDisk& disk);

/// blockdev-add of the edit node and what it needs, in order: the active layer alone, read only, so
/// that it can be looked at under the lock before anything is written.
[[nodiscard]] std::vector<serialization::Map> edit_nodes(const SessionDisk& disk);
/// The edit node's options for blockdev-reopen.
enum class Access { read_only, read_write };
[[nodiscard]] serialization::Map edit_options(const SessionDisk& disk, Access access);

}  // namespace stillpoint::hypervisor::image
