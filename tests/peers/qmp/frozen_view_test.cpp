// What the reader sees through a snapshot, proven against a real QEMU.
#include "guest_vm.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
using hypervisor::qmp::ModeChoice;

namespace {

const std::vector<DiskSpec> two_disks{{.id = "vda"}, {.id = "vdb", .size = 24 * MiB + 512}};

// Every kind of change that could leak into the view.
void disturb(GuestVm& vm, const std::string& disk) {
    vm.io(disk, "write -P 0x66 1M 128k");
    vm.io(disk, "write -P 0x67 5M 4k");
    vm.io(disk, "write -z 2M 256k");
    vm.io(disk, "write -z -u 3M 64k");
    vm.io(disk, "discard 4M 512k");
}

void prove_frozen(ModeChoice mode) {
    Lab lab;
    for (const auto& disk : two_disks) lab.make_disk(disk);
    GuestVm vm{lab, two_disks};
    for (const auto& disk : two_disks) vm.io(disk.id, "write -P 0x11 0 6M");
    const std::string before = vm.inventory();
    const Bytes vda = vm.content("vda");
    const Bytes vdb = vm.content("vdb");

    const auto driver = vm.open();
    driver->choose_mode(mode);
    const auto snapshot = need(driver->plan_snapshot(plan_of(lab, {"vda", "vdb"}, "", "p1")));
    need(snapshot->prepare(soon(), {}));
    const auto times = need(snapshot->take(soon()));
    CHECK(times.after > times.before);
    CHECK(vm.run_state() == "running");
    disturb(vm, "vda");
    disturb(vm, "vdb");
    const auto exports = need(snapshot->open_exports(soon()));
    REQUIRE(exports.size() == 2);
    disturb(vm, "vda");
    CHECK(difference(read_export(exports[0], lab.path()), vda) == "");
    CHECK(difference(read_export(exports[1], lab.path()), vdb) == "");
    CHECK(vm.content("vda") != vda);
    CHECK(exports[0].dirty_context.empty());
    need(snapshot->prove_alive());
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    CHECK(vm.inventory() == before);
    CHECK(vm.bitmaps("vda") == std::vector<std::string>{"stillpoint-00000000-p1"});
    CHECK(snapshot->prove_alive().error().id == "snapshot.broken");
}

}  // namespace

TEST_CASE("peers/qmp: the view stays frozen under writes, zeroes and discards on two disks") {
    SUBCASE("copy-before-write") {
        prove_frozen(ModeChoice::safest);
    }
    SUBCASE("backup-job") {
        prove_frozen(ModeChoice::only_backup_job);
    }
}
