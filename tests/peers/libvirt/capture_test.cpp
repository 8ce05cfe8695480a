#include <doctest/doctest.h>

#include <algorithm>

#include "backup_steps.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::BitmapState;
using hypervisor::Snapshot;
using Dirty = std::map<std::uint64_t, std::uint64_t>;
using Names = std::vector<std::string>;

constexpr std::uint64_t mib = 1u << 20;
const std::string point_1 = "stillpoint-0badcafe-1";
const std::string point_2 = "stillpoint-0badcafe-2";
const std::string point_3 = "stillpoint-0badcafe-3";

// Backs up all given disks and publishes.
void back_up(BackupSteps& steps, const Names& disks, const std::string& parent,
             const std::string& fresh) {
    steps.plan(disks, parent, fresh);
    steps.capture();
    must(steps.snapshot().prove_alive());
    steps.end(Snapshot::Outcome::published);
}

bool folder_empty(const env::Path& folder) {
    return std::filesystem::is_empty(folder);
}

}  // namespace

TEST_CASE("hypervisor/libvirt: inspect tells disks, sizes, state and channel") {
    TestDomain domain{{{"vda"}, {"vdb", "raw", 32}}};
    BackupSteps steps{domain.name()};
    const auto vm = steps.inspect();
    CHECK(vm.name == domain.name());
    CHECK(vm.uuid.size() == 36);
    CHECK(vm.state == hypervisor::VmState::paused);
    CHECK(vm.guest_channel.ends_with("org.stillpoint.guest.0"));
    CHECK(vm.definition.find("<name>" + domain.name()) != std::string::npos);
    REQUIRE(vm.disks.size() == 2);  // the CD-ROM is none
    CHECK(vm.disks[0].name == "vda");
    CHECK(vm.disks[0].path == domain.image("vda"));
    CHECK(vm.disks[0].format == "qcow2");
    CHECK(vm.disks[0].serial == "serial-vda");
    CHECK(vm.disks[0].size == ByteCount{64 * mib});
    CHECK(vm.disks[0].persistent_bitmaps);
    CHECK(vm.disks[1].size == ByteCount{32 * mib});
    CHECK_FALSE(vm.disks[1].persistent_bitmaps);
    // The same VM by its UUID.
    CHECK(BackupSteps{vm.uuid}.inspect().name == domain.name());
    domain.destroy();
    CHECK(steps.inspect().state == hypervisor::VmState::shut_off);
    CHECK_FALSE(steps.inspect().clean_shutdown);  // destroyed, not shut down
}

TEST_CASE("hypervisor/libvirt: a full view stays frozen while the guest writes") {
    TestDomain domain{{{"vda"}, {"vdb", "raw", 32}}};
    domain.write("vda", 0x11, 0, 3 * mib);
    domain.write("vdb", 0x22, 5 * mib, 65536);
    BackupSteps steps{domain.name()};
    steps.plan({"vda", "vdb"}, "", point_1);
    steps.capture();
    const std::string vda = domain.reference("vda");
    const std::string vdb = domain.reference("vdb");
    domain.write("vda", 0x33, mib, 8 * mib);
    domain.write("vdb", 0x44, 0, 8 * mib);
    CHECK(read_export(steps.view("vda")) == vda);
    CHECK(read_export(steps.view("vdb")) == vdb);
    CHECK(steps.view("vda").dirty_context.empty());
    CHECK(steps.times.before < steps.times.after);
    must(steps.snapshot().prove_alive());
    steps.end(Snapshot::Outcome::published);
    CHECK_FALSE(domain.has_job());
    CHECK(folder_empty(steps.folder()));
    CHECK(domain.checkpoints() == point_1);
    CHECK(domain.bitmaps("vda") == point_1);
    CHECK(steps.state_of("vda", point_1) == BitmapState::usable);
}

TEST_CASE("hypervisor/libvirt: an increment names exactly what was written since") {
    TestDomain domain{{{"vda"}, {"vdb"}}};
    domain.write("vda", 1, 0, 10 * mib);
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda", "vdb"}, "", point_1);
    domain.write("vda", 2, 5 * mib, 65536);
    domain.write("vda", 3, 7 * mib + 100 * 1024, 4096);  // inside the block at 7 MiB + 64 KiB
    steps.plan({"vda", "vdb"}, point_1, point_2);
    steps.capture();
    domain.write("vda", 4, 20 * mib, mib);  // after the instant: the next increment's
    domain.write("vdb", 4, 0, 65536);
    CHECK(dirty_map(steps.view("vda")) == Dirty{{5 * mib, 65536}, {7 * mib + 65536, 65536}});
    CHECK(dirty_map(steps.view("vdb")).empty());
    CHECK(domain.bitmaps("vda") == point_1 + " " + point_2);
    steps.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2);
    steps.plan({"vda", "vdb"}, point_2, point_3);
    steps.capture();
    CHECK(dirty_map(steps.view("vda")) == Dirty{{20 * mib, mib}});
    CHECK(dirty_map(steps.view("vdb")) == Dirty{{0, 65536}});
    CHECK(read_export(steps.view("vda")) == domain.reference("vda"));
    steps.end(Snapshot::Outcome::published);
}

TEST_CASE("hypervisor/libvirt: a failed attempt leaves the parent counting, nothing else") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.write("vda", 2, mib, 65536);
    steps.plan({"vda"}, point_1, point_2);
    steps.capture();
    domain.write("vda", 2, 2 * mib, 65536);
    SUBCASE("ended as failed") {
        steps.end(Snapshot::Outcome::failed);
    }
    SUBCASE("given up") {
        steps.drop();
    }
    CHECK_FALSE(domain.has_job());
    CHECK(folder_empty(steps.folder()));
    CHECK(domain.checkpoints() == point_1);
    CHECK(domain.bitmaps("vda") == point_1);
    steps.plan({"vda"}, point_1, point_3);
    steps.capture();
    CHECK(dirty_map(steps.view("vda")) == Dirty{{mib, 65536}, {2 * mib, 65536}});
    steps.end(Snapshot::Outcome::failed);
}

TEST_CASE("hypervisor/libvirt: a prepared snapshot that is not taken leaves nothing") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    must(steps.snapshot().prepare(steps.soon(), env::CancelToken{}));
    CHECK_FALSE(folder_empty(steps.folder()));
    steps.drop();
    CHECK(folder_empty(steps.folder()));
    CHECK(domain.checkpoints().empty());
}

TEST_CASE("hypervisor/libvirt: an added disk is read whole beside counted ones") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.attach({"vdc", "qcow2", 16});
    domain.write("vdc", 9, 0, 65536);
    domain.write("vda", 9, 0, 65536);
    steps.plan({"vda", "vdc"}, point_1, point_2);
    steps.capture();
    CHECK(dirty_map(steps.view("vda")) == Dirty{{0, 65536}});
    CHECK(steps.view("vdc").dirty_context.empty());
    CHECK(read_export(steps.view("vdc")) == domain.reference("vdc"));
    // The added disk is not in the persistent configuration, but it is in the definition.
    CHECK(steps.inspect().definition.find("vdc") != std::string::npos);
    steps.end(Snapshot::Outcome::published);
    CHECK(domain.bitmaps("vdc") == point_2);
}

TEST_CASE("hypervisor/libvirt: a disk left out keeps its own bitmap out of it") {
    TestDomain domain{{{"vda"}, {"vdb"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vdb"}, "", point_1);
    CHECK(domain.bitmaps("vda").empty());
    CHECK(domain.bitmaps("vdb") == point_1);
}

TEST_CASE("hypervisor/libvirt: never more than two checkpoints, whatever the outcome") {
    TestDomain domain{{{"vda"}, {"vdb"}}};
    BackupSteps steps{domain.name()};
    std::string parent;
    for (int round = 0; round < 12; ++round) {
        const std::string fresh = "stillpoint-0badcafe-r" + std::to_string(round);
        domain.write("vda", round + 1, 0, 65536);
        steps.plan({"vda", "vdb"}, parent, fresh);
        steps.capture();
        CHECK(domain.checkpoints().find(' ') == domain.checkpoints().rfind(' '));
        const bool good = round % 3 != 1;
        steps.end(good ? Snapshot::Outcome::published : Snapshot::Outcome::failed);
        if (good) parent = fresh;
        CHECK(domain.checkpoints() == parent);
        CHECK(domain.bitmaps("vda") == parent);
        CHECK(domain.bitmaps("vdb") == parent);
    }
}
