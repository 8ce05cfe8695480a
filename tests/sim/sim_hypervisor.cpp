#include "sim/sim_hypervisor.hpp"

#include <algorithm>

namespace stillpoint::sim {
namespace {

using hypervisor::BitmapState;
using hypervisor::VmState;

const std::string ours = "stillpoint-";

hypervisor::DiskInfo describe(const DiskSlot& slot) {
    const Image& image = *slot.image;
    hypervisor::DiskInfo info;
    info.name = slot.name;
    info.path = image.path;
    info.format = image.format;
    info.serial = slot.serial;
    info.size = ByteCount{image.bytes()};
    info.persistent_bitmaps = image.format == "qcow2";
    info.transient_bitmaps = true;
    for (const Bitmap& bitmap : image.bitmaps) {
        if (!bitmap.name.starts_with(ours)) continue;
        const bool usable = bitmap.recording && !bitmap.inconsistent;
        info.bitmaps.push_back(
            {bitmap.name, usable ? BitmapState::usable : BitmapState::inconsistent,
             bitmap.persistent, static_cast<std::uint32_t>(bitmap.grain_cells * cell_bytes)});
    }
    return info;
}

VmState state_of(RunState state) {
    if (state == RunState::off) return VmState::shut_off;
    return state == RunState::running ? VmState::running : VmState::paused;
}

class SimSnapshot final : public hypervisor::Snapshot {
public:
    SimSnapshot(Stage& stage, hypervisor::SnapshotPlan plan)
        : stage_(stage), machine_(stage.machine), plan_(std::move(plan)) {}
    SimSnapshot(const SimSnapshot&) = delete;
    SimSnapshot& operator=(const SimSnapshot&) = delete;
    ~SimSnapshot() override {
        if (phase_ == Phase::planned || phase_ == Phase::ended) return;
        (void)end(outcome_, {stage_.clock, std::chrono::seconds{1}});
    }

    Status prepare(const env::Deadline&, const env::CancelToken& cancel) override {
        return stage_.call("snapshot.prepare", [&]() -> Status {
            if (machine_.state == RunState::off) return gone();
            SP_TRY(cancel.check());
            phase_ = Phase::prepared;
            Session session{.mode = stage_.plan.mode};
            session.broken_reads_fail = stage_.plan.broken_reads_fail;
            session.scratch_cells_left = stage_.plan.scratch_cells;
            SP_TRY(add_disks(session));
            if (machine_.session) stage_.broken_rule("a session is begun while another one is");
            machine_.session = std::move(session);
            kills_ = machine_.kills;
            return {};
        });
    }

    Result<hypervisor::SnapshotTimes> take(const env::Deadline&) override {
        if (phase_ != Phase::prepared) stage_.broken_rule("take without prepare");
        hypervisor::SnapshotTimes times;
        times.before = stage_.clock.monotonic();
        times.wall = stage_.clock.wall();
        const bool stops =
            stage_.plan.mode == Mode::copy_before_write && machine_.state == RunState::running;
        SP_TRY(stage_.call("snapshot.take", [&]() -> Status {
            if (!machine_.session) return gone();
            if (stops && machine_.state == RunState::running) {
                machine_.state = RunState::stopped_by_us;
            }
            return {};
        }));
        const Status done = stage_.call("snapshot.transaction", [&] { return transaction(); });
        if (stops) SP_TRY(stage_.call("snapshot.resume", [&] { return resume(); }));
        SP_TRY(done);
        times.after = stage_.clock.monotonic();
        if (stops) times.paused = times.after - times.before;
        times.mode = "simulated";
        phase_ = Phase::taken;
        return times;
    }

    Result<std::vector<hypervisor::DiskExport>> open_exports(const env::Deadline&) override {
        using Exports = std::vector<hypervisor::DiskExport>;
        return stage_.call("snapshot.open_exports", [&]() -> Result<Exports> {
            if (!alive()) return gone();
            Exports exports;
            for (const FrozenDisk& disk : machine_.session->disks) {
                const bool tracked = !disk.parent_bitmap.empty();
                exports.push_back(
                    {disk.name, "/sim", disk.name, tracked ? "qemu:dirty-bitmap:frozen" : "", {}});
            }
            stage_.turns.begin(exports.size());
            return exports;
        });
    }

    Status prove_alive() override {
        return stage_.call("snapshot.prove_alive", [&]() -> Status {
            const bool good =
                alive() && machine_.session->keeps_old_data && machine_.state != RunState::io_error;
            if (good) return {};
            return fail(Errc::refused, "snapshot.broken", "the snapshot is broken");
        });
    }

    Status end(Outcome outcome, const env::Deadline&) override {
        if (outcome == Outcome::published && phase_ != Phase::taken) {
            stage_.broken_rule("a snapshot never taken is published");
        }
        if (phase_ == Phase::planned) return {};
        outcome_ = outcome;
        SP_TRY(stage_.call("snapshot.end", [&]() -> Status {
            if (alive()) machine_.end_session();
            return {};
        }));
        SP_TRY(stage_.call("snapshot.drop_bitmaps", [&]() -> Status {
            if (machine_.state != RunState::off) drop(outcome);
            return {};
        }));
        phase_ = Phase::ended;
        return {};
    }

    [[nodiscard]] serialization::Value keeper_document() const override { return sim_document(); }

private:
    enum class Phase { planned, prepared, taken, ended };

    static tl::unexpected<Error> gone() {
        return fail(Errc::io, "sim.qemu_gone", "QEMU does not answer");
    }
    [[nodiscard]] bool alive() const {
        return machine_.session && machine_.kills == kills_ && machine_.state != RunState::off;
    }

    Status add_disks(Session& session) {
        for (const hypervisor::DiskPlan& wanted : plan_.disks) {
            const DiskSlot* slot = machine_.disk(wanted.name);
            if (slot == nullptr) {
                return fail(Errc::busy, "sim.disk_changed", "no disk " + wanted.name);
            }
            FrozenDisk disk;
            disk.name = wanted.name;
            disk.image = slot->image;
            disk.parent_bitmap = wanted.parent_bitmap;
            disk.new_bitmap = wanted.new_bitmap;
            session.disks.push_back(std::move(disk));
        }
        return {};
    }

    /// All or nothing, as QEMU's.
    Status transaction() {
        if (!machine_.session || machine_.state == RunState::off) return gone();
        for (const FrozenDisk& disk : machine_.session->disks) SP_TRY(possible(disk));
        Instant instant{.point_id = plan_.point_id, .disks = {}};
        instant.guest_frozen = machine_.guest.state() == quiesce::State::frozen;
        for (FrozenDisk& disk : machine_.session->disks) {
            disk.cells = disk.image->cells.size();
            if (Bitmap* parent = disk.image->bitmap(disk.parent_bitmap)) {
                disk.dirty = parent->dirty;
                disk.grain_cells = parent->grain_cells;
            }
            add_bitmap(disk);
            const auto dirty = extents_of(disk.dirty, disk.grain_cells, disk.cells);
            instant.disks.push_back({disk.name, disk.image->cells, extents::total(dirty).raw()});
        }
        machine_.session->taken = true;
        stage_.instants.push_back(std::move(instant));
        return {};
    }

    static Status possible(const FrozenDisk& disk) {
        Image& image = *disk.image;
        if (!disk.parent_bitmap.empty()) {
            const Bitmap* parent = image.bitmap(disk.parent_bitmap);
            if (parent == nullptr) {
                return fail(Errc::invalid, "sim.qmp",
                            "Bitmap " + disk.parent_bitmap + " not found");
            }
            if (parent->inconsistent) {
                return fail(Errc::invalid, "sim.qmp",
                            "Bitmap " + disk.parent_bitmap + " is inconsistent");
            }
        }
        if (image.bitmap(disk.new_bitmap) != nullptr) {
            return fail(Errc::invalid, "sim.qmp", "Bitmap already exists: " + disk.new_bitmap);
        }
        return {};
    }

    static void add_bitmap(const FrozenDisk& disk) {
        if (disk.new_bitmap.empty()) return;
        Bitmap bitmap;
        bitmap.name = disk.new_bitmap;
        bitmap.persistent = disk.image->format == "qcow2";
        bitmap.grain_cells = disk.image->grain_cells;
        bitmap.fit(disk.cells);
        disk.image->bitmaps.push_back(std::move(bitmap));
    }

    Status resume() {
        if (machine_.state == RunState::stopped_by_us) machine_.state = RunState::running;
        return {};
    }

    void drop(Outcome outcome) {
        for (const hypervisor::DiskPlan& wanted : plan_.disks) {
            DiskSlot* slot = machine_.disk(wanted.name);
            if (slot == nullptr) continue;
            slot->image->remove_bitmap(outcome == Outcome::published ? wanted.parent_bitmap
                                                                     : wanted.new_bitmap);
        }
    }

    Stage& stage_;
    Machine& machine_;
    hypervisor::SnapshotPlan plan_;
    Phase phase_ = Phase::planned;
    Outcome outcome_ = Outcome::failed;
    std::uint64_t kills_ = 0;
};

}  // namespace

serialization::Value sim_document() {
    return serialization::Map{{"driver", "sim"}};
}

Result<hypervisor::VmInfo> SimVm::inspect(const env::Deadline&) {
    return stage_.call("vm.inspect", [&]() -> Result<hypervisor::VmInfo> {
        const Machine& machine = stage_.machine;
        hypervisor::VmInfo info;
        info.name = machine.name;
        info.uuid = machine.uuid;
        info.state = state_of(machine.state);
        if (!stage_.first_seen) stage_.first_seen = machine.state;
        info.definition = "{}";
        if (machine.guest.script.manner != Manner::no_port) info.guest_channel = "/sim/port";
        for (const DiskSlot& slot : machine.disks) info.disks.push_back(describe(slot));
        return info;
    });
}

Status SimVm::remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                             const env::Deadline&) {
    return stage_.call("vm.remove_bitmaps", [&]() -> Status {
        for (const auto& [disk, names] : by_disk) {
            DiskSlot* slot = stage_.machine.disk(disk);
            for (const std::string& name : names) {
                if (!name.starts_with(ours)) stage_.broken_rule("removes foreign bitmap " + name);
                if (slot != nullptr) slot->image->remove_bitmap(name);
            }
        }
        return {};
    });
}

Result<std::unique_ptr<hypervisor::Snapshot>> SimVm::plan_snapshot(
    const hypervisor::SnapshotPlan& plan) {
    return stage_.call("vm.plan_snapshot", [&]() -> Result<std::unique_ptr<hypervisor::Snapshot>> {
        if (stage_.machine.session) stage_.machine.end_session();  // what a dead owner left
        stage_.machine.undecided.clear();
        for (const auto& disk : plan.disks) {
            if (!disk.new_bitmap.empty()) stage_.machine.undecided[disk.name] = disk.new_bitmap;
        }
        return std::make_unique<SimSnapshot>(stage_, plan);
    });
}

SimKeeper::~SimKeeper() {
    (void)hand_over();
}

keeper::Farewell SimKeeper::hand_over() {
    if (std::exchange(watching_, false) && !stage_.dead) {
        stage_.machine.end_session();
        stage_.machine.drop_undecided();
    }
    return keeper::Farewell::cleaned_up;
}

Status SimKeeper::publishing() {
    return stage_.call("keeper.publishing", [&]() -> Status {
        stage_.machine.undecided.clear();
        return {};
    });
}

Status SimKeeper::watch(const serialization::Value&) {
    return stage_.call("keeper.watch", [&]() -> Status {
        watching_ = true;
        return {};
    });
}

Status SimKeeper::done() {
    return stage_.call("keeper.done", [&]() -> Status {
        // What a dead owner left may still be there: no keeper watches it that does not yet watch.
        if (watching_ && stage_.machine.session) {
            stage_.broken_rule("the keeper is dismissed too early");
        }
        watching_ = false;
        return {};
    });
}

}  // namespace stillpoint::sim
