#include "sim/sim_world.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "sim/sim_guest.hpp"
#include "sim/sim_hypervisor.hpp"
#include "sim/sim_source.hpp"

namespace stillpoint::sim {
namespace {

constexpr std::uint64_t vaults_per_world = 2;
constexpr env::Nanoseconds after_any_hold = std::chrono::seconds{30};

/// What goes on is told by the trace.
class TraceReporter final : public route::Reporter {
public:
    explicit TraceReporter(Trace& trace) : trace_(trace) {}
    void log(route::Severity severity, const std::string& line) override {
        if (severity >= route::Severity::warning) trace_.add("  route: " + line);
    }
    void progress(const serialization::ProgressEvent&) override {}

private:
    Trace& trace_;
};

std::unique_ptr<SimVault> make_vault(const env::Clock& clock) {
    auto made = std::make_unique<SimVault>();
    vault::InitOptions options;
    options.encryption = vault::Encryption::none;
    options.compression = vault::Compression::none;
    options.chunk_bytes = chunk_cells * cell_bytes;
    SP_CHECK(vault::init_vault(made->store, options, {}));
    made->short_id = vault::open_vault(made->store, {}, clock).value()->short_id();
    return made;
}

/// Bitmaps that this vault's backups have nothing to do with, "disk:name".
std::vector<std::string> foreign_bitmaps(const Machine& machine, const SimVault& vault) {
    std::vector<std::string> names;
    for (const DiskSlot& slot : machine.disks) {
        for (const Bitmap& bitmap : slot.image->bitmaps) {
            if (bitmap.name.starts_with("stillpoint-" + vault.short_id)) continue;
            names.push_back(slot.name + ":" + bitmap.name);
        }
    }
    return names;
}

/// The disks whose bitmap chain nothing has broken and whose newest point, by id, is the last made.
std::set<std::string> chained_disks(const Machine& machine, const SimVault& vault) {
    std::set<std::string> chained;
    for (const DiskSlot& slot : machine.disks) {
        const std::string key = SimVault::key(machine, slot.name);
        if (!vault.chained.contains(key)) continue;
        vault::PointId last;
        for (const vault::PointId& id : vault.published) {
            const PointTruth& truth = vault.truths.at(id);
            if (truth.vm_uuid == machine.uuid && truth.disk(slot.name) != nullptr) last = id;
        }
        if (!last.empty() && last == vault.newest.at(key)) chained.insert(slot.name);
    }
    return chained;
}

/// Of a disk whose newest point, by id, is not the last made (the clock was set back), a run takes
/// the last one's bitmap for a stale one, also if it fails: the chain does not come back when
/// points between are forgotten.
void forget_outdated_chains(const Machine& machine, SimVault& vault,
                            const std::set<std::string>& chained) {
    for (const DiskSlot& slot : machine.disks) {
        if (!chained.contains(slot.name)) vault.chained.erase(SimVault::key(machine, slot.name));
    }
}

route::BackupOptions options_of(const BackupWish& wish, const env::Path& folder) {
    route::BackupOptions options;
    options.driver = "sim";
    options.disks = wish.disks;
    options.full = wish.full;
    options.require = wish.require;
    options.jobs_folder = folder / "jobs";
    options.run_folder = folder / "run";
    // Both would hide what the checks look for: that tracking alone, undisturbed, is right.
    options.audit.chunks = 0;
    options.compare = {.age = std::chrono::days{0}, .increments = 0};
    return options;
}

Result<serialization::PointReport> run_route(Stage& stage, vault::Vault& vault,
                                             const route::BackupOptions& options) {
    SimVm vm{stage};
    TraceReporter reporter{stage.trace};
    const route::BackupServices services{
        .clock = stage.clock,
        .vault = vault,
        .vm = vm,
        .reporter = reporter,
        .connect_guest =
            [&](const env::Path&, const std::string&, const env::Deadline& deadline,
                const env::CancelToken& cancel) { return greet_guest(stage, deadline, cancel); },
        .connect_nbd =
            [&](const capture::NbdAddress& address, const env::CancelToken& cancel) {
                return connect_view(stage, address, cancel);
            },
        .spawn_keeper =
            [&] {
                using Handle = std::unique_ptr<keeper::KeeperHandle>;
                return stage.call("keeper.spawn", [&]() -> Result<Handle> {
                    return std::make_unique<SimKeeper>(stage);
                });
            }};
    return route::run_backup(services, options, stage.cancel);
}

std::string describe(const BackupWish& wish, const Machine& machine) {
    const RunPlan& plan = wish.plan;
    std::string text = "backup of " + machine.name + " into vault " + std::to_string(wish.vault);
    if (wish.full) text += ", full";
    for (const std::string& disk : wish.disks) text += ", disk " + disk;
    text += ", guest manner " + std::to_string(static_cast<int>(plan.guest.manner)) +
            plan.guest.at + (plan.guest.hooks ? "+hooks" : "");
    text += ", mode " + std::to_string(static_cast<int>(plan.mode));
    if (plan.incident != Incident::none) {
        text +=
            std::string(", ") + name_of(plan.incident) + " at call " + std::to_string(plan.at_call);
    }
    if (plan.store_fault != fakes::Fault::none) {
        text += ", store fault " + std::to_string(static_cast<int>(plan.store_fault)) +
                " at call " + std::to_string(plan.store_call);
    }
    if (plan.scratch_cells < 10'000) text += ", small scratch";
    return text;
}

}  // namespace

const DiskTruth* PointTruth::disk(const std::string& name) const {
    const auto found = std::find_if(disks.begin(), disks.end(),
                                    [&](const DiskTruth& d) { return d.name == name; });
    return found == disks.end() ? nullptr : &*found;
}

World::World(std::uint64_t seed) : dice_(seed) {
    SP_CHECK(folder_);
    grain_cells_ = dice_.one_in(2) ? chunk_cells : 4 * chunk_cells;
    for (std::uint64_t i = 0; i < vaults_per_world; ++i) vaults_.push_back(make_vault(clock_));
    machines_.push_back(make_machine(*this, dice_, 0));
}

std::string World::new_path() {
    return "/images/" + std::to_string(paths_++);
}

void World::forget(SimVault& vault, vault::PointId point) {
    auto opened = vault::open_vault(vault.store, {}, clock_);
    const Status done = opened ? (*opened)->forget(point) : fail(opened.error());
    expect(done.has_value(), "a point cannot be forgotten");
    vault.published.erase(point);
}

void World::expect(bool holds, const std::string& text) {
    if (holds || !failure_.empty()) return;
    failure_ = text;
    trace_.add("FAILED: " + text);
}

void World::forget_chains(const Machine& machine, const std::string& disk) {
    const std::string prefix = SimVault::key(machine, disk);
    for (const auto& vault : vaults_) {
        std::erase_if(vault->chained, [&](const std::string& key) {
            return disk.empty() ? key.starts_with(prefix) : key == prefix;
        });
    }
}

bool World::step() {
    live(dice_);
    const BackupWish wanted = wish();
    const RunRecord run = back_up(wanted);
    check_run(wanted, run);
    for (const auto& vault : vaults_) check_vault(*vault, Thoroughness::newest_and_one);
    return failure_.empty();
}

bool World::final_check() {
    for (const auto& vault : vaults_) check_vault(*vault, Thoroughness::all_points);
    return failure_.empty();
}

RunRecord World::back_up(const BackupWish& wish) {
    Machine& machine = *machines_[wish.machine];
    SimVault& vault = *vaults_[wish.vault];
    if (machine.guest.dead()) machine.guest.machine_started();  // its service was started again
    machine.guest.script = wish.plan.guest;
    trace_.add(describe(wish, machine));
    Stage stage{machine, clock_, trace_, wish.plan, dice_.fork()};
    RunRecord run;
    run.machine = wish.machine;
    run.store_fault = wish.plan.store_fault != fakes::Fault::none;
    run.chained = chained_disks(machine, vault);
    forget_outdated_chains(machine, vault, run.chained);
    run.foreign_before = foreign_bitmaps(machine, vault);
    run.paused = machine.state == RunState::paused_by_user;
    run.unasked = machine.state != RunState::running;
    run.found_session = machine.session.has_value();
    const std::uint64_t kills = machine.kills;
    {
        StageStore store{vault.store, stage};
        auto opened = vault::open_vault(store, {}, clock_);
        run.report = opened ? run_route(stage, **opened, options_of(wish, folder_->path()))
                            : fail(opened.error());
        opened = fail(Errc::io, "sim", "the process has ended");
        run.store_calls = store.calls();
        run.torn = store.torn();
        if (!run.torn.empty()) vault.torn.insert(run.torn);
    }
    // Where the store has failed every thread meets it: whether the first to report has found
    // damage or a dead store is chance.
    const auto said = [&run](const std::string& id) {
        const bool damage = run.store_fault && id.ends_with("_damaged");
        return damage || id == "sim.fault" || id == "fake.fault" ? "fault on request" : id;
    };
    trace_.add(run.report ? "  done, level " + std::string(name_of(run.report->level))
                          : "  failed: " + said(run.report.error().id));
    run.owner_dead = stage.dead;
    run.disturbed = stage.disturbed();
    // A job that an earlier owner left may have stopped the VM in the last moment.
    if (stage.first_seen) run.unasked = *stage.first_seen != RunState::running;
    run.killed = machine.kills != kills;
    run.off = machine.state == RunState::off;
    run.foreign_after = foreign_bitmaps(machine, vault);
    for (const std::string& text : stage.broken_rules) expect(false, text);
    settle(wish, stage);
    note_instants(stage, vault, run);
    if (!run.disturbed) usual_store_calls_ = run.store_calls;
    return run;
}

/// What happens around the VM once the run is over, whatever became of it.
void World::settle(const BackupWish& wish, const Stage& stage) {
    Machine& machine = *machines_[wish.machine];
    if (stage.dead) {
        machine.guest.channel_lost(clock_.monotonic());
        const bool stands =
            machine.state == RunState::stopped_by_us || machine.state == RunState::io_error;
        // A keeper that dies with its owner while the VM stands is beyond what we promise.
        if (wish.plan.keeper_works || stands) machine.end_session();
        if (wish.plan.keeper_works) machine.drop_undecided();
    }
    clock_.pass(after_any_hold);
    machine.guest.look_at(clock_.monotonic());
}

void World::note_instants(const Stage& stage, SimVault& vault, RunRecord& run) {
    for (const Instant& instant : stage.instants) {
        PointTruth truth{.vm_uuid = stage.machine.uuid, .guest_frozen = instant.guest_frozen};
        for (const Instant::Disk& disk : instant.disks) {
            truth.disks.push_back({disk.name, disk.cells, disk.dirty_bytes});
        }
        vault.truths[instant.point_id] = std::move(truth);
        run.point = instant.point_id;
    }
    run.published = !run.point.empty() && run.torn != "points/" + run.point &&
                    vault.store.size("points/" + run.point).has_value();
    if (run.published) vault.published.insert(run.point);
}

}  // namespace stillpoint::sim
