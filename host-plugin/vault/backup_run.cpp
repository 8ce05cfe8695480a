#include "vault/backup_run.hpp"

#include "vault/point_copies.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

IdFn node_ids(const StoredChunks& chunks) {
    const VaultCore& core = chunks.core();
    return [&core](ByteView bytes) { return core.keys.node_ids().id_of(bytes); };
}

IdFn data_ids(const StoredChunks& chunks) {
    const VaultCore& core = chunks.core();
    return [&core](ByteView bytes) { return core.keys.data_ids().id_of(bytes); };
}

}  // namespace

BackupRun::BackupRun(StoredChunks& chunks, PointId id, std::unique_ptr<ChunkRun> run)
    : chunks_(chunks), id_(std::move(id)), run_(std::move(run)), nodes_(*run_, node_ids(chunks)) {}

Result<std::unique_ptr<Run>> BackupRun::begin(StoredChunks& chunks, const PointId& id) {
    if (!is_point_id(id)) {
        return fail(Errc::invalid, "point.invalid", "'" + id + "' is not the id of a point");
    }
    if (chunks.core().store.size(point_object(id))) {
        return fail(Errc::busy, "point.exists", "recovery point " + id + " exists");
    }
    SP_ASSIGN(auto run, ChunkRun::begin(chunks, id));
    return std::unique_ptr<Run>{new BackupRun{chunks, id, std::move(run)}};
}

Result<std::unique_ptr<DiskWriter>> BackupRun::open_disk(const std::string& disk, ByteCount size,
                                                         std::optional<DiskRoot> parent) {
    // Said now: when the point is published, hours of transfer would be lost.
    if (!is_disk_name(disk)) {
        return fail(Errc::invalid, "vault.disk_name",
                    "'" + disk + "' cannot be the name of a disk in a vault");
    }
    const VaultConfig& config = chunks_.core().config;
    SP_ASSIGN(const MapShape shape, MapShape::make(size, config.chunk_bytes, config.map_fan_out));
    flushed_ = false;
    return BlockWriter::open(DiskContext{*run_, nodes_, data_ids(chunks_)}, disk, shape, parent);
}

Status BackupRun::flush() {
    SP_TRY(run_->flush());
    flushed_ = true;
    return {};
}

// I1: what the point names can be read back from what is durable.
Status BackupRun::prove_durable(const Point& point) {
    if (!flushed_) {
        return fail(Errc::refused, "vault.not_flushed",
                    "recovery point " + id_ + " cannot appear before its data is durable");
    }
    for (const DiskRoot& disk : point.disks) {
        auto root = nodes_.root(disk.root);
        if (!root) return fail(in_step("disk " + disk.disk, root.error()));
        if (root->shape.size() != disk.size) {
            return fail(Errc::invalid, "point.invalid",
                        "disk " + disk.disk + ": size and root do not belong together");
        }
    }
    return {};
}

Status BackupRun::publish(const Point& point) {
    if (point.id != id_) {
        return fail(Errc::invalid, "point.invalid",
                    "run " + id_ + " cannot publish recovery point " + point.id);
    }
    SP_ASSIGN(const Bytes bytes, encode_point(point));
    SP_TRY(prove_durable(point));
    SP_TRY(run_->ready_to_publish());
    const auto stored = put_object(chunks_.core(), ObjectKind::point, point_object(id_), bytes);
    if (!stored && stored.error().id == "store.exists") {
        // Only a gc takes our name, and only once our lease has long ended.
        return fail(Errc::refused, "vault.run_fenced",
                    "run " + id_ + " stood still for so long that a gc took it for dead",
                    "run the backup again");
    }
    if (!stored) run_->leave_to_expire();
    SP_ASSIGN(point_bytes_, stored);
    // The point is there: that its copy could not be put is no failure of the backup. Later than
    // the point, so that a copy never stands for what was not published; before the run's end, so
    // that a gc waits for it. `vault repair` makes copies that are missing.
    if (put_copy(chunks_.core(), id_, bytes)) point_bytes_ += *stored;
    run_->end();
    return {};
}

std::uint64_t BackupRun::stored_total_bytes() const {
    return run_->stored_total_bytes() + point_bytes_;
}

}  // namespace stillpoint::vault
