#pragma once
#include <map>
#include <optional>

#include "sim/dice.hpp"
#include "sim/model_disk.hpp"
#include "sim/model_guest.hpp"

/// A VM as QEMU runs it: disks, run state, and what a backup holds in it (reference: copy-before-
/// write filters and backup jobs of QEMU 7.2). Nothing here knows the code under test.
namespace stillpoint::sim {

struct DiskSlot {
    std::string name;
    std::string serial;
    std::shared_ptr<Image> image;
};

enum class RunState { running, paused_by_user, stopped_by_us, io_error, off };

enum class Mode { copy_before_write, backup_job };

/// One disk's frozen view: cells that were displaced by the guest since the instant, over the live
/// image, and a disabled copy of the parent bitmap.
struct FrozenDisk {
    std::string name;
    std::shared_ptr<Image> image;
    std::uint64_t cells = 0;
    std::string parent_bitmap;
    std::string new_bitmap;
    std::vector<bool> dirty;  // with a parent only
    std::uint64_t grain_cells = chunk_cells;
    struct Old {
        std::uint64_t tag;
        bool zero;
    };
    std::map<std::uint64_t, Old> scratch;
    [[nodiscard]] Old at(std::uint64_t cell) const;
};

/// What a backup made in QEMU. It stays when its owner dies, until somebody ends it.
struct Session {
    Mode mode = Mode::copy_before_write;
    bool taken = false;
    bool keeps_old_data = true;      // false: the filter gave up, or the job was ended by somebody
    bool broken_reads_fail = false;  // a broken view answers EINVAL; otherwise with live data
    std::uint64_t scratch_cells_left = 0;
    std::vector<FrozenDisk> disks;
    [[nodiscard]] FrozenDisk* disk(const std::string& name);
};

class Machine {
public:
    std::string name;
    std::string uuid;
    std::vector<DiskSlot> disks;
    RunState state = RunState::running;
    std::optional<Session> session;
    GuestModel guest;
    std::uint64_t kills = 0;  // of QEMU, for those who want to know whether one came in between

    [[nodiscard]] DiskSlot* disk(const std::string& disk_name);
    /// The guest's own I/O; nothing happens while it stands still. A copy that does not fit into
    /// the scratch breaks the snapshot or stops the VM, as the mode says.
    void guest_io(DiskSlot& slot, GuestOp op, Stretch where, std::uint64_t tag);
    /// A few random operations on random disks.
    void some_io(Dice& dice, std::uint64_t most);
    void flushed() { unflushed_.clear(); }

    void kill_qemu();
    /// Also the host: what the guest had not flushed may be lost.
    void power_loss(Dice& dice);
    void shut_down();
    void start();
    /// What the keeper does, and what the next run does first: job, filters, scratch and pause end;
    /// bitmaps stay.
    void end_session();
    /// What the keeper does beside: new bitmaps go whose point cannot be durable.
    void drop_undecided();
    std::map<std::string, std::string> undecided;  // new bitmaps by disk, until publication begins

private:
    struct Unflushed {
        std::shared_ptr<Image> image;
        std::uint64_t cell;
        std::uint64_t old_tag;
    };
    [[nodiscard]] bool keep_old(const Image& image, Stretch where);
    std::vector<Unflushed> unflushed_;
};

}  // namespace stillpoint::sim
