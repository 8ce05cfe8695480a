#include "sim/sim_life.hpp"

#include <algorithm>

namespace stillpoint::sim {
namespace {

constexpr std::uint64_t cells_most = 64 * chunk_cells;
constexpr std::size_t shelf_most = 6;
constexpr std::size_t machines_most = 2;
constexpr std::size_t disks_most = 4;

/// A copy of a file: its overlay's base is copied with it.
std::shared_ptr<Image> copy_of(const Image& image) {
    auto copy = std::make_shared<Image>(image);
    if (copy->base) copy->base = copy_of(*copy->base);
    return copy;
}

}  // namespace

std::uint64_t random_cells(Dice& dice) {
    const std::uint64_t cells = dice.between(1, dice.one_in(3) ? cells_most : cells_most / 4);
    return dice.one_in(2) ? cells : (cells + chunk_cells - 1) / chunk_cells * chunk_cells;
}

void Life::one_event() {
    Machine& machine = *dice_.pick(world_.machines());
    switch (dice_.below(16)) {
        case 0:
            return forget_point();
        case 1:
            return dice_.one_in(3) ? set_clock_back() : machine.flushed();
        case 2:
            tell(machine.name + ": QEMU is killed and started again");
            machine.kill_qemu();
            break;
        case 3:
            tell(machine.name + ": power is lost");
            machine.power_loss(dice_);
            break;
        case 4:
        case 5:
        case 6:
            tell(machine.name + ": shut down");
            machine.shut_down();
            while_off(machine);
            machine.start();
            return;
        default:
            return while_running(machine);
    }
    world_.forget_chains(machine);
    machine.start();
}

// Two disks of a backup under way must not be touched: QEMU refuses.
void Life::while_running(Machine& machine) {
    if (machine.session || machine.disks.empty()) return machine.some_io(dice_, 8);
    DiskSlot& slot = dice_.pick(machine.disks);
    switch (dice_.below(9)) {
        case 0:
        case 1:
            return resize(machine, slot);
        case 2:
            return plug(machine);
        case 3:
            return unplug(machine, dice_.below(machine.disks.size()));
        case 4:
            return take_overlay(machine, slot);
        case 5:
            return slot.image->base ? commit(machine, slot) : machine.some_io(dice_, 20);
        case 6:
            return meddle(machine, slot);
        case 7:
            if (machine.state == RunState::running) {
                tell(machine.name + " is paused by its user");
                machine.state = RunState::paused_by_user;
            } else if (machine.state == RunState::paused_by_user) {
                tell(machine.name + " is resumed by its user");
                machine.state = RunState::running;
            }
            return;
        default:
            return machine.some_io(dice_, 30);
    }
}

// Bitmaps of raw images are gone with QEMU; what else an event breaks it says itself.
void Life::while_off(Machine& machine) {
    for (const DiskSlot& slot : machine.disks) {
        if (slot.image->format == "raw") world_.forget_chains(machine, slot.name);
    }
    if (machine.disks.empty()) return;
    DiskSlot& slot = dice_.pick(machine.disks);
    switch (dice_.below(10)) {
        case 0:
            return resize(machine, slot);
        case 1:
            if (dice_.one_in(3)) shrink_and_grow(slot);
            return;
        case 2:
            return replace(machine, slot);
        case 3:
        case 4:
            return put_aside(slot);
        case 5:
            return bring_back(machine, slot);
        case 6:
        case 7:
            return rename(machine, slot);
        case 8:
            return clone(machine);
        default:
            return;
    }
}

void Life::resize(Machine& machine, DiskSlot& slot) {
    const std::uint64_t cells = random_cells(dice_);
    tell(slot.name + ": " + std::to_string(slot.image->cells.size()) + " cells become " +
         std::to_string(cells));
    // A cut disk is compared; a grown one keeps its chain.
    if (cells < slot.image->cells.size()) world_.forget_chains(machine, slot.name);
    if (slot.image->base) world_.forget_chains(machine, slot.name);
    slot.image->resize(cells);
}

void Life::shrink_and_grow(DiskSlot& slot) {
    const std::uint64_t cells = slot.image->cells.size();
    tell(slot.name + ": cut and grown again");
    slot.image->resize(1 + dice_.below(cells));
    slot.image->resize(cells);
}

void Life::plug(Machine& machine) {
    if (machine.disks.size() >= disks_most) return;
    std::string name = "vda";
    while (machine.disk(name) != nullptr) ++name.back();
    tell(machine.name + ": new disk " + name);
    machine.disks.push_back({name, "", make_image(world_, dice_)});
    world_.forget_chains(machine, name);
}

void Life::unplug(Machine& machine, std::size_t disk) {
    if (machine.disks.size() < 2) return;
    const DiskSlot& slot = machine.disks[disk];
    tell(machine.name + ": disk " + slot.name + " is taken away");
    slot.image->close_cleanly();
    world_.forget_chains(machine, slot.name);
    put_aside(slot);
    machine.disks.erase(machine.disks.begin() + static_cast<std::ptrdiff_t>(disk));
}

void Life::take_overlay(Machine& machine, DiskSlot& slot) {
    if (slot.image->base && slot.image->base->base) return;
    tell(slot.name + ": external snapshot");
    slot.image = make_overlay(slot.image, world_.new_path());
    world_.forget_chains(machine, slot.name);
}

void Life::commit(Machine& machine, DiskSlot& slot) {
    tell(slot.name + ": active commit into its base");
    slot.image = commit_overlay(*slot.image);
    world_.forget_chains(machine, slot.name);
}

// Somebody at the monitor, or with another tool.
void Life::meddle(Machine& machine, DiskSlot& slot) {
    if (slot.image->bitmaps.empty()) return;
    Bitmap& bitmap = dice_.pick(slot.image->bitmaps);
    if (!bitmap.name.starts_with("stillpoint-")) return;
    world_.forget_chains(machine, slot.name);
    if (dice_.one_in(2)) {
        tell(slot.name + ": a bitmap of ours is disabled by hand");
        bitmap.recording = false;
        return;
    }
    tell(slot.name + ": a bitmap of ours is removed by hand");
    slot.image->remove_bitmap(std::string{bitmap.name});
}

void Life::replace(Machine& machine, DiskSlot& slot) {
    auto fresh = make_image(world_, dice_);
    const bool same_path = dice_.one_in(2);
    tell(slot.name + ": replaced by a new image" + (same_path ? " of the same path" : ""));
    if (same_path) fresh->path = slot.image->path;
    slot.image = std::move(fresh);
    world_.forget_chains(machine, slot.name);
}

void Life::put_aside(const DiskSlot& slot) {
    if (world_.shelf().size() >= shelf_most) world_.shelf().erase(world_.shelf().begin());
    tell(slot.name + ": its image is copied aside");
    world_.shelf().push_back(*copy_of(*slot.image));
}

/// An older state of this disk, or the image of another one, bitmaps and all.
void Life::bring_back(Machine& machine, DiskSlot& slot) {
    if (world_.shelf().empty()) return;
    std::vector<const Image*> older;
    for (const Image& image : world_.shelf()) {
        if (image.path == slot.image->path) older.push_back(&image);
    }
    const bool own = !older.empty() && !dice_.one_in(4);
    const Image& from = own ? *dice_.pick(older) : dice_.pick(world_.shelf());
    tell(slot.name + ": a copy of " + from.path + " takes the place of " + slot.image->path);
    slot.image = copy_of(from);
    world_.forget_chains(machine, slot.name);
}

void Life::rename(Machine& machine, DiskSlot& slot) {
    world_.forget_chains(machine, slot.name);
    switch (dice_.below(5)) {
        case 0:
            tell(slot.name + ": its image moves to another path");
            slot.image->path = world_.new_path();
            return;
        case 1:
            tell(slot.name + ": gets another serial number");
            slot.serial += "x";
            return;
        case 2:
        case 3: {
            DiskSlot& other =
                &slot == &machine.disks.front() ? machine.disks.back() : machine.disks.front();
            tell(slot.name + " and " + other.name + " change places");
            world_.forget_chains(machine, other.name);
            std::swap(slot.image, other.image);
            return;
        }
        default: {
            std::string name = "vda";
            while (machine.disk(name) != nullptr) ++name.back();
            tell(slot.name + " is called " + name);
            world_.forget_chains(machine, name);
            slot.name = name;
            return;
        }
    }
}

void Life::clone(const Machine& machine) {
    auto& machines = world_.machines();
    if (machines.size() >= machines_most) return;
    tell(machine.name + " is cloned");
    auto copy = std::make_unique<Machine>();
    copy->name = dice_.one_in(2) ? machine.name : "clone";
    copy->uuid = machine.uuid.substr(0, machine.uuid.size() - 1) + "9";
    for (const DiskSlot& slot : machine.disks) {
        copy->disks.push_back({slot.name, slot.serial, copy_of(*slot.image)});
        if (dice_.one_in(2)) copy->disks.back().image->path = world_.new_path();
    }
    machines.push_back(std::move(copy));
}

void Life::forget_point() {
    SimVault& vault = *dice_.pick(world_.vaults());
    if (vault.published.size() < 2) return;
    auto point = vault.published.begin();
    std::advance(point, static_cast<std::ptrdiff_t>(dice_.below(vault.published.size())));
    tell("a recovery point is forgotten");
    world_.forget(vault, *point);
}

void Life::set_clock_back() {
    tell("the wall clock is set back");
    world_.clock().set_wall_back(std::chrono::minutes{dice_.between(1, 3000)});
}

}  // namespace stillpoint::sim
