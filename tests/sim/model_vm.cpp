#include "sim/model_vm.hpp"

#include <algorithm>
#include <array>

namespace stillpoint::sim {
namespace {

constexpr std::uint64_t io_cells_most = 3 * chunk_cells;
constexpr std::size_t unflushed_most = 4096;

Stretch random_stretch(Dice& dice, std::uint64_t cells) {
    const std::uint64_t first = dice.below(cells);
    std::uint64_t count = 1 + dice.below(io_cells_most);
    if (dice.one_in(4)) count = chunk_cells;
    if (dice.one_in(12)) count = cells;
    // Half of all I/O is aligned to chunks, as a filesystem's is.
    const std::uint64_t start = dice.one_in(2) ? first / chunk_cells * chunk_cells : first;
    return {start, std::min(count, cells - start)};
}

GuestOp random_op(Dice& dice) {
    constexpr std::array ops{GuestOp::write,        GuestOp::write,       GuestOp::write,
                             GuestOp::rewrite,      GuestOp::write_zeros, GuestOp::zero_command,
                             GuestOp::zero_command, GuestOp::discard,     GuestOp::discard};
    return dice.pick(ops);
}

}  // namespace

FrozenDisk::Old FrozenDisk::at(std::uint64_t cell) const {
    const auto kept = scratch.find(cell);
    if (kept != scratch.end()) return kept->second;
    if (cell >= image->cells.size()) return {0, true};
    return {image->cells[cell], image->zero_known[cell]};
}

FrozenDisk* Session::disk(const std::string& name) {
    const auto found = std::find_if(disks.begin(), disks.end(),
                                    [&](const FrozenDisk& d) { return d.name == name; });
    return found == disks.end() ? nullptr : &*found;
}

DiskSlot* Machine::disk(const std::string& disk_name) {
    const auto found = std::find_if(disks.begin(), disks.end(),
                                    [&](const DiskSlot& d) { return d.name == disk_name; });
    return found == disks.end() ? nullptr : &*found;
}

// @return false: the guest's write has to wait
bool Machine::keep_old(const Image& image, Stretch where) {
    if (!session || !session->taken || !session->keeps_old_data) return true;
    for (FrozenDisk& disk : session->disks) {
        if (disk.image.get() != &image) continue;
        for (std::uint64_t i = where.first; i < where.first + where.count; ++i) {
            if (i >= disk.cells || disk.scratch.contains(i)) continue;
            if (session->scratch_cells_left == 0) {
                if (session->mode == Mode::backup_job) {
                    state = RunState::io_error;
                    return false;
                }
                session->keeps_old_data = false;
                return true;
            }
            --session->scratch_cells_left;
            disk.scratch[i] = {image.cells[i], image.zero_known[i]};
        }
    }
    return true;
}

void Machine::guest_io(DiskSlot& slot, GuestOp op, Stretch where, std::uint64_t tag) {
    if (state != RunState::running || guest.frozen()) return;
    Image& image = *slot.image;
    if (where.count == 0 || !keep_old(image, where)) return;
    for (std::uint64_t i = where.first; i < where.first + where.count; ++i) {
        if (unflushed_.size() < unflushed_most) {
            unflushed_.push_back({slot.image, i, image.cells[i]});
        }
    }
    image.apply(op, where, tag);
}

void Machine::some_io(Dice& dice, std::uint64_t most) {
    const std::uint64_t count = dice.below(most + 1);
    for (std::uint64_t i = 0; i < count && !disks.empty(); ++i) {
        DiskSlot& slot = dice.pick(disks);
        if (slot.image->cells.empty()) continue;
        const Stretch where = random_stretch(dice, slot.image->cells.size());
        const GuestOp op = random_op(dice);
        guest_io(slot, op, where, dice.any() | 1);
    }
    if (dice.one_in(3)) flushed();
}

void Machine::kill_qemu() {
    ++kills;
    state = RunState::off;
    session.reset();
    guest.machine_gone();
    for (const DiskSlot& slot : disks) slot.image->close_killed();
}

void Machine::power_loss(Dice& dice) {
    for (auto lost = unflushed_.rbegin(); lost != unflushed_.rend(); ++lost) {
        if (!dice.one_in(2) || lost->cell >= lost->image->cells.size()) continue;
        lost->image->cells[lost->cell] = lost->old_tag;
        lost->image->zero_known[lost->cell] = false;
    }
    unflushed_.clear();
    kill_qemu();
}

void Machine::shut_down() {
    state = RunState::off;
    session.reset();
    guest.machine_gone();
    flushed();
    for (const DiskSlot& slot : disks) slot.image->close_cleanly();
}

void Machine::start() {
    state = RunState::running;
    guest.machine_started();
}

void Machine::end_session() {
    session.reset();
    if (state == RunState::stopped_by_us || state == RunState::io_error) state = RunState::running;
}

void Machine::drop_undecided() {
    for (const auto& [slot_name, bitmap] : undecided) {
        DiskSlot* slot = disk(slot_name);
        if (state != RunState::off && slot != nullptr) slot->image->remove_bitmap(bitmap);
    }
    undecided.clear();
}

}  // namespace stillpoint::sim
