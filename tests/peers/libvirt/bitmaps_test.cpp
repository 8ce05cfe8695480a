#include <doctest/doctest.h>

#include <fstream>

#include "backup_steps.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::BitmapState;
using hypervisor::Snapshot;
using Dirty = std::map<std::uint64_t, std::uint64_t>;

constexpr std::uint64_t mib = 1u << 20;
const std::string point_1 = "stillpoint-0badcafe-1";
const std::string point_2 = "stillpoint-0badcafe-2";

void back_up(BackupSteps& steps, const std::vector<std::string>& disks, const std::string& parent,
             const std::string& fresh) {
    steps.plan(disks, parent, fresh);
    steps.capture();
    must(steps.snapshot().prove_alive());
    steps.end(Snapshot::Outcome::published);
}

}  // namespace

TEST_CASE("hypervisor/libvirt: a bitmap counts on over a restart of the VM") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.write("vda", 1, 0, 65536);
    domain.destroy();
    domain.start();
    domain.write("vda", 1, mib, 65536);
    steps.plan({"vda"}, point_1, point_2);
    steps.capture();
    CHECK(dirty_map(steps.view("vda")) == Dirty{{0, 65536}, {mib, 65536}});
    steps.end(Snapshot::Outcome::published);
}

TEST_CASE("hypervisor/libvirt: bitmaps are inconsistent after QEMU was killed, and removable") {
    TestDomain domain{{{"vda"}, {"vdb"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda", "vdb"}, "", point_1);
    // Only what was stored by an orderly end is there to be found inconsistent.
    domain.destroy();
    domain.start();
    domain.kill_qemu();
    domain.start();
    CHECK(steps.state_of("vda", point_1) == BitmapState::inconsistent);
    steps.plan({"vda", "vdb"}, point_1, point_2);  // both whole
    must(steps.vm().remove_bitmaps({{"vda", {point_1}}, {"vdb", {point_1}}}, steps.soon()));
    CHECK(steps.state_of("vda", point_1) == BitmapState::absent);
    CHECK(domain.checkpoints().empty());
    CHECK(domain.bitmaps("vdb").empty());
    steps.capture();
    CHECK(steps.view("vda").dirty_context.empty());
    steps.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2);
}

TEST_CASE(
    "hypervisor/libvirt: a plan that counts from a lost bitmap is refused before the freeze") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    steps.plan({"vda"}, point_1, point_2);
    domain.destroy();
    domain.start();
    domain.kill_qemu();
    domain.start();
    const Status prepared = steps.snapshot().prepare(steps.soon(), env::CancelToken{});
    REQUIRE_FALSE(prepared);
    CHECK(prepared.error().id == "bitmap.unusable");
}

TEST_CASE("hypervisor/libvirt: a bitmap whose metadata libvirt lost counts on") {
    TestDomain domain{{{"vda"}, {"vdb"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    SUBCASE("deleted by somebody") {
        virsh_ok({"checkpoint-delete", domain.name(), point_1, "--metadata"});
    }
    SUBCASE("the domain was undefined and defined again") {
        domain.destroy();
        virsh_ok({"undefine", domain.name(), "--checkpoints-metadata"});
        virsh_ok({"define", domain.folder() / "domain.xml"});
        domain.start();
    }
    REQUIRE(domain.checkpoints().empty());
    domain.write("vda", 1, mib, 65536);
    BackupSteps again{domain.name()};
    again.plan({"vda", "vdb"}, point_1, point_2);
    again.capture();
    CHECK(dirty_map(again.view("vda")) == Dirty{{mib, 65536}});
    again.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2);
    CHECK(domain.bitmaps("vda") == point_2);
}

TEST_CASE("hypervisor/libvirt: orphans without metadata are removed") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    virsh_ok({"checkpoint-delete", domain.name(), point_1, "--metadata"});
    must(steps.vm().remove_bitmaps({{"vda", {point_1}}}, steps.soon()));
    CHECK(domain.bitmaps("vda").empty());
    // Once more: what is not there is removed already.
    must(steps.vm().remove_bitmaps({{"vda", {point_1}}}, steps.soon()));
}

TEST_CASE("hypervisor/libvirt: a checkpoint without any bitmap is forgotten") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.qmp(R"({"execute":"block-dirty-bitmap-remove","arguments":{"node":"libvirt-1-format",)"
               R"("name":")" +
               point_1 + R"("}})");
    CHECK(steps.state_of("vda", point_1) == BitmapState::absent);
    back_up(steps, {"vda"}, point_1, point_2);
    CHECK(domain.checkpoints() == point_2);
}

TEST_CASE("hypervisor/libvirt: a bitmap removed from one disk stays on the other") {
    TestDomain domain{{{"vda"}, {"vdb"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda", "vdb"}, "", point_1);
    must(steps.vm().remove_bitmaps({{"vdb", {point_1}}}, steps.soon()));
    CHECK(domain.bitmaps("vdb").empty());
    domain.write("vda", 1, mib, 65536);
    steps.plan({"vda", "vdb"}, point_1, point_2);
    steps.capture();
    CHECK(dirty_map(steps.view("vda")) == Dirty{{mib, 65536}});
    CHECK(steps.view("vdb").dirty_context.empty());
    steps.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2);
    CHECK(domain.bitmaps("vda") == point_2);
    CHECK(domain.bitmaps("vdb") == point_2);
}

TEST_CASE("hypervisor/libvirt: other people's checkpoints live on") {
    TestDomain domain{{{"vda"}}};
    const auto checkpoint_create = [&](const std::string& name) {
        virsh_ok({"checkpoint-create-as", domain.name(), name, "--diskspec", "vda"});
    };
    checkpoint_create("theirs-1");
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    checkpoint_create("theirs-2");
    domain.write("vda", 1, mib, 65536);
    steps.plan({"vda"}, point_1, point_2);
    steps.capture();
    CHECK(dirty_map(steps.view("vda")) == Dirty{{mib, 65536}});
    steps.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2 + " theirs-1 theirs-2");
    CHECK(domain.bitmaps("vda") == point_2 + " theirs-1 theirs-2");
    CHECK(steps.inspect("vda").bitmaps.size() == 1);
    const Status refused = steps.vm().remove_bitmaps({{"vda", {"theirs-1"}}}, steps.soon());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id == "bitmap.foreign");
}

TEST_CASE("hypervisor/libvirt: over a snapshot of libvirt nothing written is forgotten") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.write("vda", 1, mib, 65536);
    const env::Path overlay = domain.folder() / "overlay.qcow2";
    virsh_ok({"snapshot-create-as", domain.name(), "s", "--disk-only", "--no-metadata",
              "--diskspec", "vda,file=" + overlay.string()});
    domain.write("vda", 2, 4 * mib, 65536);
    // Either the bitmaps of both layers count together, or the disk is read whole.
    steps.plan({"vda"}, point_1, point_2);
    steps.capture();
    if (!steps.view("vda").dirty_context.empty()) {
        CHECK(dirty_map(steps.view("vda")) == Dirty{{mib, 65536}, {4 * mib, 65536}});
    }
    CHECK(read_export(steps.view("vda")) == domain.reference("vda"));
    steps.end(Snapshot::Outcome::published);
}

TEST_CASE("hypervisor/libvirt: a bitmap below an overlay made without libvirt does not count") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.destroy();
    const env::Path overlay = domain.folder() / "overlay.qcow2";
    run({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", domain.image("vda"),
         overlay});
    std::string xml = virsh_ok({"dumpxml", "--inactive", domain.name()});
    xml.replace(xml.find(domain.image("vda")), domain.image("vda").string().size(), overlay);
    std::ofstream{domain.folder() / "over.xml"} << xml;
    virsh_ok({"define", domain.folder() / "over.xml"});
    domain.start();
    CHECK(steps.state_of("vda", point_1) == BitmapState::absent);
    CHECK(steps.inspect("vda").path == overlay);
}

TEST_CASE("hypervisor/libvirt: a grown disk keeps its bitmap and tells its new size") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    virsh_ok({"blockresize", domain.name(), "vda", "80M"});
    CHECK(steps.inspect("vda").size == ByteCount{80 * mib});
    steps.plan({"vda"}, point_1, point_2);
    steps.capture();
    CHECK_FALSE(steps.view("vda").dirty_context.empty());
    CHECK(read_export(steps.view("vda")).size() == 80 * mib);
    steps.end(Snapshot::Outcome::published);
}

TEST_CASE("hypervisor/libvirt: a transient domain is backed up like any other") {
    TestDomain domain{{{"vda"}}};
    domain.destroy();
    virsh_ok({"undefine", domain.name(), "--checkpoints-metadata"});
    virsh_ok({"create", domain.folder() / "domain.xml", "--paused"});
    BackupSteps steps{domain.name()};
    back_up(steps, {"vda"}, "", point_1);
    domain.write("vda", 1, mib, 65536);
    // It ends for good; its bitmap outlives it in the image.
    domain.destroy();
    virsh_ok({"create", domain.folder() / "domain.xml", "--paused"});
    BackupSteps again{domain.name()};
    again.plan({"vda"}, point_1, point_2);
    again.capture();
    CHECK(dirty_map(again.view("vda")) == Dirty{{mib, 65536}});
    again.end(Snapshot::Outcome::published);
}
