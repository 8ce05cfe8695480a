#include <algorithm>
#include <cstring>

#include "base/check.hpp"
#include "restore/disk_walk.hpp"
#include "route/point_document.hpp"
#include "sim/sim_guest.hpp"
#include "sim/sim_world.hpp"

/// What must hold after every step, whatever went wrong in it.
namespace stillpoint::sim {
namespace {

using serialization::DiskMode;
using serialization::Level;

constexpr std::uint64_t chunk_bytes = chunk_cells * cell_bytes;
constexpr std::ptrdiff_t bitmaps_most = 2;  // of one vault on one disk (I2)

/// A restore into memory.
class MemoryDisk final : public restore::BlockSink {
public:
    explicit MemoryDisk(ByteCount size) : bytes_(size.raw()) {}
    Status write(ByteOffset at, ByteView bytes) override {
        if (at.raw() + bytes.size() > bytes_.size()) {
            return fail(Errc::invalid, "sim.past_end", "a restore writes past the disk's end");
        }
        std::copy(bytes.begin(), bytes.end(),
                  bytes_.begin() + static_cast<std::ptrdiff_t>(at.raw()));
        return {};
    }
    [[nodiscard]] const Bytes& bytes() const { return bytes_; }

private:
    Bytes bytes_;
};

Cells chunk_of(const Cells& cells, std::uint64_t chunk) {
    const std::uint64_t first = std::min(chunk * chunk_cells, cells.size());
    const std::uint64_t last = std::min(first + chunk_cells, cells.size());
    return {cells.begin() + static_cast<std::ptrdiff_t>(first),
            cells.begin() + static_cast<std::ptrdiff_t>(last)};
}

bool is_zero(const Cells& cells) {
    return std::all_of(cells.begin(), cells.end(), [](std::uint64_t cell) { return cell == 0; });
}

/// The bytes of all chunks that hold data and are not, at this length, in the parent.
std::uint64_t changed_bytes(const Cells& now, const Cells* parent) {
    std::uint64_t changed = 0;
    for (std::uint64_t chunk = 0; chunk * chunk_cells < now.size(); ++chunk) {
        const Cells cells = chunk_of(now, chunk);
        if (is_zero(cells)) continue;
        if (parent != nullptr && chunk_of(*parent, chunk) == cells) continue;
        changed += cells.size() * cell_bytes;
    }
    return changed;
}

std::string first_difference(const Bytes& restored, const Cells& truth) {
    const Bytes wanted = expand(truth, 0, truth.size());
    if (restored.size() != wanted.size()) {
        return "has " + std::to_string(restored.size()) + " bytes instead of " +
               std::to_string(wanted.size());
    }
    // Byte by byte it is most of the time of a world in a build without optimization.
    if (std::memcmp(restored.data(), wanted.data(), wanted.size()) == 0) return {};
    const auto at = std::mismatch(restored.begin(), restored.end(), wanted.begin()).first;
    return "differs at byte " + std::to_string(at - restored.begin());
}

/// Whether the run may have failed although nothing went wrong around it.
bool may_refuse(const BackupWish& wish, const RunRecord& run) {
    const GuestScript& guest = wish.plan.guest;
    const Level level = run.unasked ? Level::crash : level_of(guest);
    const bool hook_refuses = !run.unasked && guest.hooks && guest.manner == Manner::hook_refuses;
    return level < wish.require || hook_refuses;
}

}  // namespace

void World::check_run(const BackupWish& wish, const RunRecord& run) {
    if (!run.disturbed) {
        const bool small_scratch = wish.plan.scratch_cells < 10'000;
        const std::string why = run.report ? "" : run.report.error().text;
        expect(run.report || may_refuse(wish, run) || small_scratch,
               "an undisturbed backup failed: " + why);
        if (run.report) expect(!may_refuse(wish, run), "a backup was made that must be refused");
    }
    if (run.report) expect(run.published, "a backup succeeded without a point");
    const bool answer_lost = run.disturbed || run.owner_dead;
    if (run.published) expect(run.report || answer_lost, "a failed backup left a point");
    check_machine(wish, run);
    if (run.published) check_report(wish, run);
    note_published(wish, run);
}

void World::check_machine(const BackupWish& wish, const RunRecord& run) {
    const Machine& machine = *machines_[wish.machine];
    expect(!machine.guest.frozen(), "the guest is left frozen");
    expect(machine.guest.settled(), "a pre hook has no post hook");
    expect(machine.state != RunState::stopped_by_us, "the VM is left stopped");
    if (run.paused && !run.off) {
        expect(machine.state == RunState::paused_by_user, "a VM paused by its user was resumed");
    }
    // What an owner without a keeper left, the next run ends; it may have failed before that.
    const bool cleaned = (!run.owner_dead || wish.plan.keeper_works) && !run.found_session;
    expect(!cleaned || !machine.session, "a job is left in QEMU");
    // While such a job is there its scratch may fill.
    const bool left_alone = !cleaned && machine.session;
    expect(machine.state != RunState::io_error || left_alone,
           "the VM is left paused by a full scratch");
    if (!run.killed && !run.off) {
        expect(run.foreign_before == run.foreign_after, "bitmaps of others were touched");
    }
    for (const DiskSlot& slot : machine.disks) {
        for (const auto& vault : vaults_) {
            const auto ours = std::count_if(
                slot.image->bitmaps.begin(), slot.image->bitmaps.end(), [&](const Bitmap& b) {
                    return b.name.starts_with("stillpoint-" + vault->short_id);
                });
            expect(ours <= bitmaps_most, "more than two bitmaps of one vault on " + slot.name);
        }
    }
}

void World::check_report(const BackupWish& wish, const RunRecord& run) {
    SimVault& vault = *vaults_[wish.vault];
    auto opened = vault::open_vault(vault.store, {}, clock_);
    if (!opened) return expect(false, "the vault does not open: " + opened.error().text);
    const auto point = (*opened)->point(run.point);
    if (!point) return expect(false, "the new point does not open: " + point.error().text);
    const auto document = route::decode_point_document(point->document);
    if (!document) return expect(false, "the new point's document is damaged");
    const PointTruth& truth = vault.truths.at(run.point);
    expect(document->level < Level::filesystem || truth.guest_frozen,
           "a level is claimed and the guest was not frozen");
    expect(document->level >= wish.require, "a point below the required level was kept");
    const Level honest = run.unasked ? Level::crash : level_of(wish.plan.guest);
    expect(document->level <= honest, "the level says more than the guest did");
    if (!run.disturbed) expect(document->level == honest, "the level is not what the guest did");
    const bool said = std::ranges::count(document->warnings, "guest.not_asked",
                                         &serialization::Warning::code) > 0;
    expect(said == run.unasked, "whether the guest was asked is not what the point says");
    for (const route::DiskDocument& disk : document->disks) check_disk_report(vault, run, disk);
}

void World::check_disk_report(SimVault& vault, const RunRecord& run,
                              const route::DiskDocument& disk) {
    DiskTruth* truth = nullptr;
    for (DiskTruth& one : vault.truths.at(run.point).disks) {
        if (one.name == disk.name) truth = &one;
    }
    if (truth == nullptr) return expect(false, "the point has a disk that was not captured");
    trace_.add("  " + disk.name + ": " + std::string(name_of(disk.mode)) + ", shipped " +
               std::to_string(disk.shipped) +
               (disk.reason.empty() ? "" : " (" + disk.reason + ")"));
    const DiskTruth* parent = nullptr;
    if (!disk.parent.empty()) parent = vault.truths.at(disk.parent).disk(disk.name);
    expect((parent == nullptr) == (disk.mode == DiskMode::full), "a parent is missing or too much");
    if (parent != nullptr && disk.mode == DiskMode::increment) {
        note_cuts(vault, run, *truth, *parent);
        const std::uint64_t now = truth->cells.size() * cell_bytes;
        const std::uint64_t before = parent->cells.size() * cell_bytes;
        const std::uint64_t tail = now > before ? now - before + chunk_bytes : 0;
        expect(disk.read <= truth->dirty_bytes + tail, "an increment read what was not dirty");
    }
    // A store that once showed a damaged point made the run build on another.
    const bool blinded = run.disturbed && run.store_fault;
    // Nor need a chain be believed in which blocks became zeros without a trace, now or before.
    const bool cut = parent != nullptr && (was_cut(vault, run, *parent) || parent->untraceable);
    if (!blinded && !cut && run.chained.contains(disk.name) &&
        disk.reason != "a full backup was asked for") {
        expect(disk.mode == DiskMode::increment,
               "disk " + disk.name + " has an unbroken chain, and no increment: " + disk.reason);
    }
    if (truth->untraceable || (parent != nullptr && parent->untraceable)) return;
    const std::uint64_t changed =
        changed_bytes(truth->cells, parent == nullptr ? nullptr : &parent->cells);
    expect(disk.shipped == changed, "disk " + disk.name + " shipped " +
                                        std::to_string(disk.shipped) + " bytes, changed were " +
                                        std::to_string(changed));
}

/// Below what the parent held, and grown back: that leaves no trace for an increment.
bool World::was_cut(const SimVault& vault, const RunRecord& run, const DiskTruth& parent) {
    const DiskSlot* slot = machines_[run.machine]->disk(parent.name);
    if (slot == nullptr) return false;
    const auto least = slot->image->cut_to.find(vault.short_id);
    return least != slot->image->cut_to.end() && least->second < parent.cells.size();
}

void World::note_cuts(SimVault& vault, const RunRecord& run, DiskTruth& truth,
                      const DiskTruth& parent) {
    truth.untraceable = was_cut(vault, run, parent) || parent.untraceable;
    if (truth.untraceable) trace_.add("  " + truth.name + " was cut and grown without a trace");
}

void World::note_published(const BackupWish& wish, const RunRecord& run) {
    SimVault& vault = *vaults_[wish.vault];
    Machine& machine = *machines_[wish.machine];
    if (run.killed || run.off) forget_chains(machine);
    if (!run.published) return;
    // An owner that lived and heard no answer took its new bitmaps back.
    const bool kept = !run.killed && !run.off && (run.report || run.owner_dead);
    for (const DiskTruth& disk : vault.truths.at(run.point).disks) {
        const std::string key = SimVault::key(machine, disk.name);
        vault.newest[key] = run.point;
        vault.chained.erase(key);
        if (kept) vault.chained.insert(key);
        DiskSlot* slot = machine.disk(disk.name);
        if (slot != nullptr) slot->image->cut_to[vault.short_id] = slot->image->cells.size();
    }
}

void World::check_vault(SimVault& vault, Thoroughness how) {
    auto opened = vault::open_vault(vault.store, {}, clock_);
    if (!opened) return expect(false, "the vault does not open: " + opened.error().text);
    const auto points = (*opened)->points();
    if (!points) return expect(false, "points cannot be listed: " + points.error().text);
    std::set<vault::PointId> found;
    for (const vault::Point& point : *points) found.insert(point.id);
    expect(found == vault.published, "the vault's points are not those that were published");
    const auto depth = how == Thoroughness::all_points ? vault::CheckDepth::read_data
                                                       : vault::CheckDepth::structure;
    const auto checked = (*opened)->check(depth, {}, {});
    if (!checked) return expect(false, "check failed: " + checked.error().text);
    if (!checked->damage.empty()) {
        expect(!vault.torn.empty(), "check finds damage: " + checked->damage.front().text);
    }
    if (!failure_.empty()) return;
    const std::size_t older = dice_.below(points->size());
    for (std::size_t i = 0; i < points->size(); ++i) {
        const bool compared =
            how == Thoroughness::all_points || i + 1 == points->size() || i == older;
        check_point(vault, **opened, (*points)[i], compared ? Restore::yes : Restore::no);
    }
    mend(vault);
}

/// What a disk that lied left behind is taken away, as a repair would.
void World::mend(SimVault& vault) {
    for (const std::string& name : vault.torn) SP_CHECK(vault.store.remove(name));
    vault.torn.clear();
}

void World::check_point(SimVault& vault, vault::Vault& opened, const vault::Point& point,
                        Restore restore) {
    const auto truth = vault.truths.find(point.id);
    if (truth == vault.truths.end()) return expect(false, "a point of no instant");
    for (const vault::DiskRoot& disk : point.disks) {
        const auto reader = opened.open_disk(disk);
        if (!reader) return expect(false, "a disk does not open: " + reader.error().text);
        if (restore == Restore::no) continue;
        MemoryDisk memory{disk.size};
        const auto walked = restore::walk_disk(opened, disk, {.workers = 1}, memory, {}, {});
        if (!walked) return expect(false, "a disk cannot be restored: " + walked.error().text);
        expect(walked->damage.empty(), "a restored disk is damaged");
        const DiskTruth* wanted = truth->second.disk(disk.disk);
        if (wanted == nullptr) return expect(false, "a disk that was not captured");
        ++points_checked_;
        if (wanted->untraceable) continue;
        const std::string difference = first_difference(memory.bytes(), wanted->cells);
        expect(difference.empty(),
               "disk " + disk.disk + " of point " + point.id + " " + difference);
    }
}

}  // namespace stillpoint::sim
