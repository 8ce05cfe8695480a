#include "hypervisor/image/image_snapshot.hpp"

namespace stillpoint::hypervisor::image {
namespace {

using serialization::Map;

constexpr env::Nanoseconds proof_budget = std::chrono::seconds{30};  // bitmaps are loaded, stored
constexpr env::Nanoseconds destructor_budget = std::chrono::seconds{10};
constexpr const char* mode_name = "powered-off";

tl::unexpected<Error> out_of_order(const char* what) {
    return fail(Errc::invalid, "snapshot.order", what);
}

}  // namespace

Error vm_started(const std::string& disk, const std::string& file) {
    return {Errc::busy, "image.vm_started",
            "disk " + disk + ": " + file +
                " was opened for writing or changed while it was backed up; was the VM started?",
            "nothing of this attempt is kept; run the backup again"};
}

ImageSnapshot::ImageSnapshot(KeeperOrder order, std::vector<SessionDisk> disks,
                             const env::Clock& clock)
    : order_(std::move(order)), disks_(std::move(disks)), clock_(clock) {}

ImageSnapshot::~ImageSnapshot() {
    // Nobody is left to hear of a failure; the keeper does the same once more.
    static_cast<void>(end(Outcome::failed, env::Deadline{clock_, destructor_budget}));
}

serialization::Value ImageSnapshot::keeper_document() const {
    return serialization::to_value(order_);
}

Status ImageSnapshot::prepare(const env::Deadline& deadline, const env::CancelToken& cancel) {
    if (phase_ != Phase::planned) return out_of_order("prepare was called twice");
    cancel_ = cancel;
    phase_ = Phase::prepared;  // from here on there may be something to end
    SP_TRY(ban_writers());
    SP_TRY(check_unwritten());
    SP_ASSIGN(daemon_, StorageDaemon::start(order_, deadline, cancel));
    for (const SessionDisk& disk : disks_) {
        SP_TRY(cancel.check());
        const Status added = daemon_->client().run("blockdev-add", view_node(disk), deadline);
        if (!added) return fail(in_step("disk " + disk.disk, added.error()));
    }
    const Map address{{"type", "unix"}, {"data", Map{{"path", order_.nbd_socket().string()}}}};
    SP_TRY(daemon_->client().run("nbd-server-start", Map{{"addr", address}, {"max-connections", 0}},
                                 deadline));
    return cancel.check();
}

// Stamps say nothing about a block device: there the VM has to wait for us.
Status ImageSnapshot::ban_writers() {
    for (const SessionDisk& disk : disks_) {
        for (std::size_t i = 0; i < disk.before.files.size(); ++i) {
            const std::string& file = disk.before.files[i];
            if (!disk.before.stamps[i].block_device || bans_.contains(file)) continue;
            auto ban = WriterBan::take(file);
            if (!ban) return fail(in_step("disk " + disk.disk, ban.error()));
            bans_.emplace(file, std::move(*ban));
        }
    }
    return {};
}

// They would keep our own daemon from writing as well. It has the lock when this is called.
void ImageSnapshot::lift_bans(const std::vector<BitmapChange>& changes) {
    for (const BitmapChange& change : changes) {
        bans_.erase(change.disk.path);
        bans_.erase(change.disk.data_file);
    }
}

Status ImageSnapshot::check_unwritten() const {
    for (const SessionDisk& disk : disks_) {
        SP_ASSIGN(const std::string changed, find_change(disk.before));
        if (!changed.empty()) return fail(vm_started(disk.disk, changed));
    }
    return {};
}

Result<SnapshotTimes> ImageSnapshot::take(const env::Deadline&) {
    if (phase_ != Phase::prepared) return out_of_order("take needs one prepare that succeeded");
    // Nothing has to be done for it: the disks stand still, or the attempt is given up.
    SnapshotTimes times;
    times.before = clock_.monotonic();
    times.after = times.before;
    times.wall = clock_.wall();
    times.mode = mode_name;
    phase_ = Phase::taken;
    return times;
}

Result<std::vector<DiskExport>> ImageSnapshot::open_exports(const env::Deadline& deadline) {
    if (phase_ != Phase::taken) return out_of_order("exports need a snapshot that was taken");
    std::vector<DiskExport> exports;
    for (const SessionDisk& disk : disks_) {
        const Status added = daemon_->client().run("block-export-add", view_export(disk), deadline);
        if (!added) return fail(in_step("disk " + disk.disk, added.error()));
        DiskExport one;
        one.disk = disk.disk;
        one.socket = order_.nbd_socket();
        one.export_name = disk.disk;
        if (!disk.parent_bitmap.empty()) {
            one.dirty_context = "qemu:dirty-bitmap:" + disk.parent_bitmap;
        }
        exports.push_back(std::move(one));
    }
    return exports;
}

Status ImageSnapshot::prove_alive() {
    if (phase_ != Phase::taken) {
        return fail(Errc::refused, "snapshot.broken",
                    "the snapshot is broken: it was not taken, or has been ended");
    }
    if (bitmaps_started_) return check_unwritten();
    return start_bitmaps(env::Deadline{clock_, proof_budget});
}

// Under the lock nobody can write, so that what is proven then holds until the bitmaps record. A
// VM that runs by now holds the lock itself.
Status ImageSnapshot::start_bitmaps(const env::Deadline& deadline) {
    std::vector<BitmapChange> changes;
    for (const SessionDisk& disk : disks_) {
        if (disk.changes_bitmaps()) changes.push_back({disk, disk.new_bitmap, disk.retire});
    }
    Window window{daemon_->client(), changes, deadline};
    const Status locked = window.lock();
    SP_TRY(check_unwritten());
    if (!locked) return locked;
    bitmaps_started_ = true;  // from here on there may be some to remove
    lift_bans(changes);
    SP_TRY(window.apply());
    SP_TRY(stamp_again());
    SP_TRY(ban_writers());
    return window.close();
}

// What we wrote ourselves is no change by others; still under the lock.
Status ImageSnapshot::stamp_again() {
    for (SessionDisk& disk : disks_) {
        SP_ASSIGN(disk.before, settled_stamp(disk.before.files, clock_, cancel_));
    }
    return {};
}

Error ImageSnapshot::explain(Error error) const {
    if (error.code == Errc::cancelled || phase_ != Phase::taken) return error;
    const Status unwritten = check_unwritten();
    if (unwritten || unwritten.error().id != "image.vm_started") return error;
    Error started = unwritten.error();
    started.text += " (" + error.text + ")";
    return started;
}

Status ImageSnapshot::drop_bitmaps(Outcome outcome, const env::Deadline& deadline) {
    if (!daemon_ || !bitmaps_started_) return {};
    std::vector<BitmapChange> changes;
    for (const SessionDisk& disk : disks_) {
        const std::string& name =
            outcome == Outcome::published ? disk.parent_bitmap : disk.new_bitmap;
        if (!name.empty()) changes.push_back({disk, {}, {name}});
    }
    if (changes.empty()) return {};
    Window window{daemon_->client(), changes, deadline};
    const Status locked = window.lock();
    // The VM is being started: both bitmaps record on, and the next run removes the needless one.
    if (!locked && locked.error().id == "image.locked") return {};
    SP_TRY(locked);
    lift_bans(changes);
    SP_TRY(window.apply());
    return window.close();
}

Status ImageSnapshot::end(Outcome outcome, const env::Deadline& deadline) {
    if (phase_ == Phase::planned || phase_ == Phase::ended) {
        phase_ = Phase::ended;
        return {};
    }
    if (outcome == Outcome::published && !bitmaps_started_) {
        return out_of_order("a snapshot that was not proven cannot be published");
    }
    phase_ = Phase::ended;
    const Status dropped = drop_bitmaps(outcome, deadline);
    Status stopped = daemon_ ? daemon_->stop(deadline) : Status{};
    daemon_.reset();
    bans_.clear();
    const Status removed = remove_files(order_);
    if (!dropped) return dropped;
    return stopped ? removed : stopped;
}

}  // namespace stillpoint::hypervisor::image
