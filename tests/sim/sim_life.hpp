#pragma once
#include "sim/sim_world.hpp"

namespace stillpoint::sim {

/// Size of a disk; not always a multiple of the chunk.
[[nodiscard]] std::uint64_t random_cells(Dice& dice);

/// What happens to VMs and their disks between backups. Each event says in the trace what it was,
/// and takes away what may no longer be expected of the next backup.
class Life {
public:
    Life(World& world, Dice& dice) : world_(world), dice_(dice) {}
    void one_event();

private:
    void while_running(Machine& machine);
    void while_off(Machine& machine);
    void resize(Machine& machine, DiskSlot& slot);
    void shrink_and_grow(DiskSlot& slot);
    void plug(Machine& machine);
    void unplug(Machine& machine, std::size_t disk);
    void take_overlay(Machine& machine, DiskSlot& slot);
    void commit(Machine& machine, DiskSlot& slot);
    void meddle(Machine& machine, DiskSlot& slot);
    void replace(Machine& machine, DiskSlot& slot);
    void put_aside(const DiskSlot& slot);
    void bring_back(Machine& machine, DiskSlot& slot);
    void rename(Machine& machine, DiskSlot& slot);
    void clone(const Machine& machine);
    void forget_point();
    void set_clock_back();
    void tell(const std::string& what) { world_.log().add("event: " + what); }

    World& world_;
    Dice& dice_;
};

}  // namespace stillpoint::sim
