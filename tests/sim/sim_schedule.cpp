#include <algorithm>
#include <array>

#include "sim/sim_life.hpp"
#include "sim/sim_world.hpp"

/// What the dice may do: disks, guests, faults. Sizes are tiny on purpose (tests of limits are
/// elsewhere): a world of thirty backups takes about a second.
namespace stillpoint::sim {
namespace {

constexpr std::uint64_t disks_most = 3;
constexpr std::uint64_t calls_most = 60;  // a run has 30 to 100 calls across seams

GuestScript random_guest(Dice& dice) {
    constexpr std::array manners{Manner::no_port,     Manner::absent,     Manner::silent,
                                 Manner::silent,      Manner::dies,       Manner::dies,
                                 Manner::wrong_lease, Manner::not_held,   Manner::no_filesystem,
                                 Manner::short_hold,  Manner::hook_fails, Manner::hook_refuses};
    const std::array<const char*, 4> steps{"Prepare", "Freeze", "Thaw", "Finish"};
    GuestScript script;
    script.hooks = dice.one_in(2);
    if (!dice.one_in(3)) return script;
    script.manner = dice.pick(manners);
    if (script.manner == Manner::silent || script.manner == Manner::dies) {
        script.at = dice.pick(steps);
    }
    return script;
}

void add_incident(Dice& dice, RunPlan& plan) {
    constexpr std::array incidents{
        Incident::call_fails,  Incident::call_fails,      Incident::answer_lost,
        Incident::answer_lost, Incident::cancelled,       Incident::owner_dies,
        Incident::owner_dies,  Incident::owner_dies,      Incident::qemu_killed,
        Incident::shut_down,   Incident::host_power_lost, Incident::job_ended,
        Incident::job_ended,   Incident::scratch_full,    Incident::extension_dies,
        Incident::time_jumps,  Incident::slow_host};
    plan.incident = dice.pick(incidents);
    plan.at_call = dice.below(dice.one_in(2) ? calls_most : calls_most / 3);
    plan.keeper_works = !dice.one_in(4);
}

void add_store_fault(Dice& dice, RunPlan& plan, std::size_t usual_calls) {
    using fakes::Fault;
    constexpr std::array faults{Fault::fail,      Fault::full,       Fault::lost, Fault::cut,
                                Fault::cut_after, Fault::short_read, Fault::torn, Fault::flip};
    plan.store_fault = dice.pick(faults);
    plan.store_call = dice.below(usual_calls + 2);
    // The last calls are the interesting ones: packs, index, point.
    if (dice.one_in(2) && usual_calls > 10) plan.store_call = usual_calls - dice.below(10);
    plan.store_takes_owner = dice.one_in(2);
    plan.keeper_works = !dice.one_in(4);
}

}  // namespace

std::shared_ptr<Image> make_image(World& world, Dice& dice) {
    auto image = std::make_shared<Image>();
    image->path = world.new_path();
    image->grain_cells = world.grain_cells();
    image->discards = !dice.one_in(4);
    if (dice.one_in(4)) image->format = "raw";
    image->resize(random_cells(dice));
    // An image that was installed: about half of it holds data.
    for (std::uint64_t at = 0; at < image->cells.size(); at += chunk_cells) {
        const std::uint64_t count = std::min(chunk_cells, image->cells.size() - at);
        if (dice.one_in(2)) image->apply(GuestOp::write, {at, count}, dice.any() | 1);
    }
    if (dice.one_in(3) && image->format == "qcow2") {
        Bitmap foreign;
        foreign.name = "another-tool";
        foreign.stored = true;
        foreign.fit(image->cells.size());
        image->bitmaps.push_back(std::move(foreign));
    }
    return image;
}

std::unique_ptr<Machine> make_machine(World& world, Dice& dice, std::size_t number) {
    auto machine = std::make_unique<Machine>();
    machine->name = "vm" + std::to_string(number);
    machine->uuid = "00000000-0000-0000-0000-00000000000" + std::to_string(number);
    const std::uint64_t disks = dice.between(1, disks_most);
    for (std::uint64_t i = 0; i < disks; ++i) {
        machine->disks.push_back({"vd" + std::string(1, static_cast<char>('a' + i)),
                                  dice.one_in(2) ? "serial" + std::to_string(i) : "",
                                  make_image(world, dice)});
    }
    return machine;
}

BackupWish World::wish() {
    BackupWish wish;
    wish.machine = dice_.below(machines_.size());
    // Mostly the same vault, so that chains grow; sometimes the other, so that there are two.
    wish.vault = dice_.one_in(4) ? 1 : 0;
    wish.full = dice_.one_in(20);
    if (dice_.one_in(10)) wish.require = serialization::Level::filesystem;
    const Machine& machine = *machines_[wish.machine];
    if (dice_.one_in(8)) wish.disks.push_back(dice_.pick(machine.disks).name);
    RunPlan& plan = wish.plan;
    plan.guest = random_guest(dice_);
    plan.mode = dice_.one_in(2) ? Mode::copy_before_write : Mode::backup_job;
    plan.broken_reads_fail = dice_.one_in(2);
    plan.busy_guest = dice_.below(4);
    if (dice_.one_in(12)) plan.scratch_cells = dice_.below(200);
    const std::uint64_t what = dice_.below(10);
    if (what < 4) add_incident(dice_, plan);
    if (what >= 4 && what < 6) add_store_fault(dice_, plan, usual_store_calls_);
    return wish;
}

void World::live(Dice& dice) {
    const std::uint64_t events = dice.below(3);
    Life life{*this, dice};
    for (std::uint64_t i = 0; i < events; ++i) life.one_event();
    for (const auto& machine : machines_) {
        if (machine->state == RunState::off) machine->start();
        machine->some_io(dice, 6);
    }
    clock_.pass(std::chrono::minutes{dice.between(1, 600)});
}

}  // namespace stillpoint::sim
