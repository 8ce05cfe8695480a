// Which blocks count as changed: bitmaps over increments, failures, crashes, growth and overlays.
#include <algorithm>

#include "guest_vm.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::BitmapState;
using hypervisor::DiskInfo;
using hypervisor::Snapshot;
using hypervisor::qmp::ModeChoice;
using hypervisor::qmp::QmpVm;
using serialization::Map;
using Names = std::vector<std::string>;

namespace {

const DiskSpec vda{.id = "vda"};

/// A taken snapshot with its export of one disk.
struct Taken {
    std::unique_ptr<Snapshot> snapshot;
    hypervisor::DiskExport view;
};

Taken take(QmpVm& driver, const hypervisor::SnapshotPlan& plan) {
    Taken taken;
    taken.snapshot = need(driver.plan_snapshot(plan));
    need(taken.snapshot->prepare(soon(), {}));
    (void)need(taken.snapshot->take(soon()));
    taken.view = need(taken.snapshot->open_exports(soon())).front();
    return taken;
}

void back_up(QmpVm& driver, const hypervisor::SnapshotPlan& plan) {
    const Taken taken = take(driver, plan);
    need(taken.snapshot->prove_alive());
    need(taken.snapshot->end(Snapshot::Outcome::published, soon()));
}

DiskInfo disk_of(QmpVm& driver, const std::string& name = "vda") {
    const auto info = need(driver.inspect(soon()));
    const auto found = std::find_if(info.disks.begin(), info.disks.end(),
                                    [&](const DiskInfo& disk) { return disk.name == name; });
    if (found == info.disks.end()) FAIL("no disk " << name);
    return *found;
}

void prove_increments(const DiskSpec& disk, ModeChoice mode) {
    Lab lab;
    lab.make_disk(disk);
    GuestVm vm{lab, {disk}};
    const auto driver = vm.open();
    driver->choose_mode(mode);
    back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
    vm.io("vda", "write -P 1 1M 64k");
    vm.io("vda", "write -z 3M 128k");
    {
        const Taken taken = take(*driver, plan_of(lab, {"vda"}, "p1", "p2"));
        vm.io("vda", "write -P 2 8M 64k");
        CHECK(taken.view.dirty_context == "qemu:dirty-bitmap:stillpoint-frozen");
        CHECK(dirty_map(taken.view) == "1048576+65536 3145728+131072");
        CHECK(vm.bitmaps("vda").size() == 2);
        need(taken.snapshot->prove_alive());
        need(taken.snapshot->end(Snapshot::Outcome::published, soon()));
    }
    CHECK(vm.bitmaps("vda") == Names{bitmap_name("p2")});
    const Taken next = take(*driver, plan_of(lab, {"vda"}, "p2", "p3"));
    CHECK(dirty_map(next.view) == "8388608+65536");
}

}  // namespace

TEST_CASE("peers/qmp: an increment lists what changed between two instants, no more, no less") {
    SUBCASE("copy-before-write") {
        prove_increments(vda, ModeChoice::safest);
    }
    SUBCASE("backup-job") {
        prove_increments(vda, ModeChoice::only_backup_job);
    }
    SUBCASE("raw, transient bitmap") {
        prove_increments({.id = "vda", .format = "raw"}, ModeChoice::safest);
    }
    SUBCASE("old qcow2, transient bitmap") {
        prove_increments({.id = "vda", .create_options = "compat=0.10"}, ModeChoice::safest);
    }
}

TEST_CASE("peers/qmp: after a failure the parent has recorded all along and the new one is gone") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
    vm.io("vda", "write -P 1 1M 64k");
    {
        const Taken failed = take(*driver, plan_of(lab, {"vda"}, "p1", "p2"));
        vm.io("vda", "write -P 2 5M 64k");
        SUBCASE("ended") {
            need(failed.snapshot->end(Snapshot::Outcome::failed, soon()));
        }
        SUBCASE("forgotten: the destructor ends it") {}
    }
    CHECK(vm.bitmaps("vda") == Names{bitmap_name("p1")});
    const Taken next = take(*driver, plan_of(lab, {"vda"}, "p1", "p3"));
    CHECK(dirty_map(next.view) == "1048576+65536 5242880+65536");
}

TEST_CASE("peers/qmp: the point is durable and the end fails: its bitmap stays all the same") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
    {
        const Taken taken = take(*driver, plan_of(lab, {"vda"}, "p1", "p2"));
        need(taken.snapshot->prove_alive());
        const env::SystemClock clock;
        const env::Deadline passed{clock, {}};
        CHECK_FALSE(taken.snapshot->end(Snapshot::Outcome::published, passed));
    }  // the destructor tries once more
    CHECK(vm.bitmaps("vda") == Names{bitmap_name("p2")});
}

TEST_CASE("peers/qmp: once all is read the guest is let go, and bitmaps wait for the verdict") {
    for (const auto mode : {ModeChoice::safest, ModeChoice::only_backup_job}) {
        for (const bool published : {true, false}) {
            CAPTURE(published);
            Lab lab;
            lab.make_disk(vda);
            GuestVm vm{lab, {vda}};
            const auto driver = vm.open();
            driver->choose_mode(mode);
            back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
            const std::string before = vm.inventory();
            const auto plan = plan_of(lab, {"vda"}, "p1", "p2");
            const Taken taken = take(*driver, plan);
            need(taken.snapshot->prove_alive());
            need(taken.snapshot->let_go(soon()));
            CHECK(vm.inventory() == before);
            CHECK_FALSE(std::filesystem::exists(plan.job_folder / "qmp"));
            CHECK(vm.bitmaps("vda").size() == 2);
            need(taken.snapshot->end(
                published ? Snapshot::Outcome::published : Snapshot::Outcome::failed, soon()));
            CHECK(vm.bitmaps("vda") == Names{bitmap_name(published ? "p2" : "p1")});
        }
    }
}

TEST_CASE("peers/qmp: an instant that fails on the second disk leaves both as they were") {
    Lab lab;
    const DiskSpec vdb{.id = "vdb"};
    lab.make_disk(vda);
    lab.make_disk(vdb);
    GuestVm vm{lab, {vda, vdb}};
    const auto driver = vm.open();
    const std::string before = vm.inventory();
    const auto snapshot = need(driver->plan_snapshot(plan_of(lab, {"vda", "vdb"}, "", "p1")));
    need(snapshot->prepare(soon(), {}));
    vm.ask("block-dirty-bitmap-add", Map{{"node", "n-vdb"}, {"name", bitmap_name("p1")}});
    const auto times = snapshot->take(soon());
    REQUIRE_FALSE(times);
    CHECK(times.error().text.find("already exists") != std::string::npos);
    CHECK(vm.run_state() == "running");
    CHECK(vm.bitmaps("vda").empty());
    CHECK_FALSE(snapshot->open_exports(soon()));
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
    CHECK(vm.inventory() == before);
}

TEST_CASE("peers/qmp: bitmaps survive a clean end of QEMU, not a kill") {
    Lab lab;
    lab.make_disk(vda);
    {
        GuestVm vm{lab, {vda}};
        const auto driver = vm.open();
        back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
        vm.io("vda", "write -P 1 1M 64k");
        vm.quit();
    }
    {
        GuestVm vm{lab, {vda}};
        const auto driver = vm.open();
        const DiskInfo disk = disk_of(*driver);
        REQUIRE(disk.bitmaps.size() == 1);
        CHECK(disk.bitmaps[0].state == BitmapState::usable);
        CHECK(disk.bitmaps[0].persistent);
        CHECK(disk.bitmaps[0].granularity_bytes == 64 * KiB);
        {
            const Taken taken = take(*driver, plan_of(lab, {"vda"}, "p1", "p2"));
            CHECK(dirty_map(taken.view) == "1048576+65536");
        }
        vm.kill();
    }
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    const DiskInfo disk = disk_of(*driver);
    REQUIRE(disk.bitmaps.size() == 1);
    CHECK(disk.bitmaps[0].state == BitmapState::inconsistent);
    const auto refused = driver->plan_snapshot(plan_of(lab, {"vda"}, "p1", "p3"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id == "qmp.parent_bitmap");
    need(driver->remove_bitmaps({{"vda", {bitmap_name("p1"), bitmap_name("p2")}}}, soon()));
    CHECK(vm.bitmaps("vda").empty());
    back_up(*driver, plan_of(lab, {"vda"}, "", "p3"));
    CHECK(vm.bitmaps("vda") == Names{bitmap_name("p3")});
}

TEST_CASE("peers/qmp: growth keeps the bitmap; the view has the new size") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
    vm.io("vda", "write -P 1 1M 64k");
    vm.ask("block_resize", Map{{"node-name", "n-vda"}, {"size", std::uint64_t{24 * MiB}}});
    CHECK(disk_of(*driver).size == ByteCount{24 * MiB});
    const Taken taken = take(*driver, plan_of(lab, {"vda"}, "p1", "p2"));
    CHECK(dirty_map(taken.view) == "1048576+65536");
    CHECK(read_export(taken.view, lab.path()).size() == 24 * MiB);
}

TEST_CASE("peers/qmp: a bitmap below an overlay does not count") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    back_up(*driver, plan_of(lab, {"vda"}, "", "p1"));
    const env::Path overlay = lab.vm_folder() / "overlay.qcow2";
    vm.ask("blockdev-snapshot-sync", Map{{"node-name", "n-vda"},
                                         {"snapshot-node-name", "overlay"},
                                         {"snapshot-file", overlay.string()},
                                         {"format", "qcow2"}});
    const DiskInfo disk = disk_of(*driver);
    CHECK(disk.path == overlay.string());
    CHECK(disk.bitmaps.empty());
    CHECK(driver->plan_snapshot(plan_of(lab, {"vda"}, "p1", "p2")).error().id ==
          "qmp.parent_bitmap");
}

TEST_CASE("peers/qmp: bitmaps of others are neither shown nor removed") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    vm.ask("block-dirty-bitmap-add", Map{{"node", "n-vda"}, {"name", "theirs"}});
    const auto driver = vm.open();
    CHECK(disk_of(*driver).bitmaps.empty());
    CHECK(driver->remove_bitmaps({{"vda", {"theirs"}}}, soon()).error().id == "qmp.foreign_bitmap");
    need(driver->remove_bitmaps({{"vda", {bitmap_name("never-was")}}}, soon()));
    CHECK(vm.bitmaps("vda") == Names{"theirs"});
}

TEST_CASE("peers/qmp: inspect tells format, size, serial, path and what can hold bitmaps") {
    Lab lab;
    const DiskSpec raw{.id = "vdb", .format = "raw"};
    const DiskSpec old{.id = "vdc", .create_options = "compat=0.10"};
    const env::Path image = lab.make_disk(vda);
    lab.make_disk(raw);
    lab.make_disk(old);
    GuestVm vm{
        lab,
        {vda, raw, old},
        Boot::paused,
        {"-uuid", "5e3c1c4e-0000-4000-8000-000000000001", "-device", "virtio-serial-pci",
         "-chardev",
         "socket,id=ch,path=" + (lab.vm_folder() / "guest.sock").string() + ",server=on,wait=off",
         "-device", "virtserialport,chardev=ch,name=org.stillpoint.guest.0"}};
    const auto driver = vm.open();
    const auto info = need(driver->inspect(soon()));
    CHECK(info.name == "lab");
    CHECK(info.uuid == "5e3c1c4e-0000-4000-8000-000000000001");
    CHECK(info.state == hypervisor::VmState::paused);
    CHECK(info.guest_channel == (lab.vm_folder() / "guest.sock").string());
    CHECK(info.definition.find("query-named-block-nodes") != std::string::npos);
    REQUIRE(info.disks.size() == 3);
    CHECK(info.disks[0].name == "vda");
    CHECK(info.disks[0].path == image.string());
    CHECK(info.disks[0].format == "qcow2");
    CHECK(info.disks[0].serial == "S-vda");
    CHECK(info.disks[0].size == ByteCount{vda.size});
    CHECK(info.disks[0].persistent_bitmaps);
    CHECK(info.disks[1].format == "raw");
    CHECK_FALSE(info.disks[1].persistent_bitmaps);
    CHECK_FALSE(info.disks[2].persistent_bitmaps);
}
