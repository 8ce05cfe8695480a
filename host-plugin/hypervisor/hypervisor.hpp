#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/files.hpp"
#include "hypervisor/configuration.hpp"
#include "serialization/value.hpp"

/// The seam to a hypervisor: libvirt/, qmp/ (plain QEMU) and image/ (powered-off disks) implement
/// it.
namespace stillpoint::hypervisor {

enum class BitmapState {
    usable,  // recording on the active layer, consistent, granularity known
    absent,
    inconsistent,  // QEMU died: useless, must be removed before the name could be used again
    disabled,      // somebody switched it off: it missed writes
};

/// A dirty bitmap of ours found on a disk.
struct BitmapInfo {
    std::string name;
    BitmapState state = BitmapState::absent;
    bool persistent = false;
    std::uint32_t granularity_bytes = 0;
};

struct DiskInfo {
    std::string name;                 // vda; QMP: qdev id, else drive name, else node name
    std::string path;                 // canonical image path as the hypervisor knows it
    std::string format;               // raw, qcow2, …
    std::string serial;               // empty: none
    bool serial_known = true;         // an image without its VM does not tell
    ByteCount size;                   // virtual size
    bool read_only = false;           // such disks (CD-ROMs) are left out of backups, with a note
    bool persistent_bitmaps = false;  // the format can hold them
    bool transient_bitmaps = false;   // QEMU can keep them as long as it runs
    std::vector<BitmapInfo> bitmaps;  // on the active layer, whose name starts with "stillpoint-"
    std::string unreadable;           // why it cannot be read as things are now; empty: it can
    [[nodiscard]] std::string identity() const {
        return name + "\n" + serial + "\n" + path + "\n" + format;
    }
};

enum class VmState { running, paused, shut_off };

struct VmInfo {
    std::string name;
    std::string uuid;        // empty: plain QEMU without one
    bool uuid_known = true;  // images without their VM do not tell
    VmState state = VmState::running;
    bool clean_shutdown = false;  // shut_off with proof
    std::vector<DiskInfo> disks;
    std::string definition;     // domain XML; plain QEMU: a document of query-* answers
    std::string guest_channel;  // unix socket of port org.stillpoint.guest.0; empty: no such port
};

/// What is wanted for one disk at the instant.
struct DiskPlan {
    std::string name;
    std::string parent_bitmap;  // empty: the whole disk is read (full or compare)
    std::string new_bitmap;     // empty: none can be had (raw without bitmaps wanted)
};

struct SnapshotPlan {
    std::vector<DiskPlan> disks;
    env::Path job_folder;  // for sockets and scratch; reachable by QEMU's user
    std::string point_id;
    std::optional<ByteCount> scratch_budget;  // what scratch may use at most; nullopt: what is free
};

/// Where one disk's frozen view is served.
struct DiskExport {
    std::string disk;
    std::string socket;  // NBD over this unix socket
    std::string export_name;
    std::string dirty_context;             // "qemu:dirty-bitmap:…"; empty: read everything
    std::optional<ByteCount> parent_size;  // unknown here; the route fills it from the point
};

struct SnapshotTimes {
    env::Nanoseconds before{};  // host monotonic, just before the command
    env::Nanoseconds after{};   // host monotonic, when all disks were known to be captured
    env::Nanoseconds wall{};    // wall clock at the instant
    std::optional<env::Nanoseconds> paused;  // the VM was stopped that long
    std::string mode;         // how the frozen view is made, e.g. "copy-before-write"; for reports
    std::string mode_reason;  // why not the mode that protects the guest best; empty: it is
};

/// What the guest's writes have cost since its QEMU began, over all its disks.
struct GuestWrites {
    std::uint64_t count = 0;
    env::Nanoseconds time{};
};

/// One snapshot of all planned disks at one instant. Order of calls: prepare (before the freeze; no
/// effect on the guest) → take (the instant; thaw right after) → exports → … reads … → prove_alive
/// → let_go → [point is published] → end. The destructor ends what was left: as end() said, else as
/// failed.
/// @threads one at a time; `prove_alive` may be called while others read
class Snapshot {
public:
    virtual ~Snapshot() = default;
    virtual Status prepare(const env::Deadline& deadline, const env::CancelToken& cancel) = 0;
    virtual Result<SnapshotTimes> take(const env::Deadline& deadline) = 0;
    virtual Result<std::vector<DiskExport>> open_exports(const env::Deadline& deadline) = 0;
    /// The stale-read guard: every job or filter of ours still keeps old data, the VM is not paused
    /// by our scratch. Call it after the last read, before publishing; until then reads may have
    /// shown live data without an error. Earlier calls only save work. Needs open exports.
    /// @errors refused, id "snapshot.broken", or busy, id "image.vm_started": nothing read so far
    ///         may be published
    virtual Status prove_alive() = 0;
    /// Asks the hypervisor; also before prepare(). While disks are read nobody else uses the
    /// snapshot, so another thread may.
    /// @errors unsupported: this driver does not know
    virtual Result<GuestWrites> guest_writes(const env::Deadline&) {
        return fail(Errc::unsupported, "vm.no_write_times", "the driver counts no writes");
    }
    /// A look at whether scratch keeps within its budget, and the filesystem below has room for
    /// the guest's next writes (I6); from take() on. It owns all that it uses, because it blocks as
    /// long as that filesystem does and may outlive the snapshot. Called several times a second
    /// while disks are read, on any thread.
    /// @errors of the look: refused, id "snapshot.broken": give the backup up at once
    virtual std::function<Status()> room_check() {
        return [] { return Status{}; };
    }
    /// After prove_alive(), when nothing more is read: ends all that costs the guest's writes and
    /// takes room, while the point is still being made durable. Bitmaps stay as they are for end(),
    /// which repeats what failed here.
    virtual Status let_go(const env::Deadline&) { return {}; }
    /// Ends exports and jobs, removes scratch and sockets. `published` retires the parent bitmaps
    /// (I2) and keeps the new ones; otherwise the new ones are dropped and the parents stay.
    enum class Outcome { published, failed };
    virtual Status end(Outcome outcome, const env::Deadline& deadline) = 0;
    /// Why reading or publishing failed, where the driver knows better than who met the failure.
    [[nodiscard]] virtual Error explain(Error error) const { return error; }
    /// What the keeper needs to clean up after us: {"driver": "qmp"|"libvirt"|…, …}. Stable from
    /// construction on (names are decided before anything is done).
    [[nodiscard]] virtual serialization::Value keeper_document() const = 0;
};

/// A virtual machine at one hypervisor.
/// @threads one at a time
class Vm {
public:
    virtual ~Vm() = default;
    /// Fresh facts; talks to the hypervisor.
    virtual Result<VmInfo> inspect(const env::Deadline& deadline) = 0;
    /// Removes bitmaps of ours (orphans, or inconsistent ones) by disk name and bitmap name.
    virtual Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                                  const env::Deadline& deadline) = 0;
    virtual Result<std::unique_ptr<Snapshot>> plan_snapshot(const SnapshotPlan& plan) = 0;
    /// What the VM needs beside its disks; asked right after the instant. Reads no file of it.
    virtual Result<Configuration> configuration(const env::Deadline&) { return Configuration{}; }
};

/// Ends what a dead owner left: called by the keeper with the snapshot's keeper_document(). The new
/// bitmaps go as well where its member "undecided" says that no point of them can be durable;
/// else, and in images of a VM that is off, the next run judges them.
/// Idempotent; does as much as it can and returns the first failure.
/// @threads one
[[nodiscard]] Status clean_up_qmp(const serialization::Value& document,
                                  const env::Deadline& deadline);
[[nodiscard]] Status clean_up_libvirt(const serialization::Value& document,
                                      const env::Deadline& deadline);
[[nodiscard]] Status clean_up_image(const serialization::Value& document,
                                    const env::Deadline& deadline);

/// @param socket a QMP monitor of its own; @param label the name the user gave
[[nodiscard]] Result<std::unique_ptr<Vm>> open_qmp_vm(const env::Path& socket,
                                                      const std::string& label,
                                                      const env::Clock& clock);
/// Who runs libvirt's default event loop in this process: libvirt knows only one.
enum class LibvirtLoop {
    ours,     // a thread of the driver, while a connection is open
    program,  // the program around us, before the first connection and all the time
};
/// Opening takes at most that long.
inline constexpr env::Nanoseconds libvirt_open_budget = std::chrono::seconds{30};
/// @param vm name or uuid  @errors not_found, id "vm.not_found" · io, id "libvirt.connect" · denied
[[nodiscard]] Result<std::unique_ptr<Vm>> open_libvirt_vm(const std::string& uri,
                                                          const std::string& vm,
                                                          const env::Clock& clock,
                                                          LibvirtLoop loop = LibvirtLoop::ours);

/// A disk that no VM has open, as its owner describes it.
struct ImageDisk {
    std::string name;
    std::string path;
    std::string format;  // never guessed from the content, which a guest may have made up
    std::string serial = {};
    bool serial_known = false;
    bool read_only = false;
    std::string unreadable = {};  // known beforehand
};

/// The files of a VM that is off.
struct ImageFiles {
    std::vector<ImageDisk> disks;
    std::string nvram = {};  // of its UEFI variables; empty: whether it has any is not known
};

/// A VM that is off, of which its files alone are at hand. @param label the name the user gave
/// @errors not_found, id "image.missing" · invalid, id "image.twice": two disks of one name
[[nodiscard]] Result<std::unique_ptr<Vm>> open_image_vm(const std::string& label, ImageFiles files,
                                                        const env::Clock& clock);

}  // namespace stillpoint::hypervisor
