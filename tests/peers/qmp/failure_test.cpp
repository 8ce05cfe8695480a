// What goes wrong around a snapshot: the guest is never harmed, and errors say what to do.
#include "guest_vm.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
using hypervisor::qmp::ModeChoice;
using serialization::Map;

namespace {

const DiskSpec vda{.id = "vda"};

std::unique_ptr<Snapshot> planned(hypervisor::qmp::QmpVm& driver, Lab& lab) {
    return need(driver.plan_snapshot(plan_of(lab, {"vda"}, "", "p1")));
}

}  // namespace

TEST_CASE("peers/qmp: a full scratch breaks the snapshot, not the guest") {
    Lab lab;
    // No file of QEMU may grow beyond the disk's own size: the scratch, which has more than the
    // disk's data in it, is the one that hits the limit.
    const DiskSpec disk{.id = "vda", .size = 2 * MiB, .format = "raw"};
    lab.make_disk(disk);
    GuestVm vm{lab, {disk}};
    vm.io("vda", "write -P 1 0 2M");
    const auto driver = vm.open();
    const std::string before = vm.inventory();
    const auto snapshot = planned(*driver, lab);
    need(snapshot->prepare(soon(), {}));
    (void)need(snapshot->take(soon()));
    const auto exports = need(snapshot->open_exports(soon()));
    vm.io("vda", "write -P 2 0 64k");
    need(snapshot->prove_alive());
    vm.limit_file_size(2 * MiB);
    vm.io("vda", "write -P 2 0 2M");
    CHECK(vm.run_state() == "running");
    CHECK(vm.content("vda") == Bytes(2 * MiB, std::byte{2}));
    const Status proof = snapshot->prove_alive();
    REQUIRE_FALSE(proof);
    CHECK(proof.error().id == "snapshot.broken");
    CHECK(proof.error().text.find("scratch full") != std::string::npos);
    CHECK(snapshot->prove_alive().error().id == "snapshot.broken");  // and stays so
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
    CHECK(vm.inventory() == before);
    CHECK(vm.bitmaps("vda").empty());
}

TEST_CASE("peers/qmp: a backup job that somebody cancels is noticed") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    driver->choose_mode(ModeChoice::only_backup_job);
    const auto snapshot = planned(*driver, lab);
    need(snapshot->prepare(soon(), {}));
    const auto times = need(snapshot->take(soon()));
    CHECK(times.mode == "backup-job");
    CHECK_FALSE(times.mode_reason.empty());
    (void)need(snapshot->open_exports(soon()));
    need(snapshot->prove_alive());
    const auto jobs = vm.ask("query-jobs");
    vm.ask("block-job-cancel", Map{{"device", jobs.array()->front().text_or("id")}});
    while (!vm.ask("query-jobs").array()->empty()) {
    }
    CHECK(snapshot->prove_alive().error().id == "snapshot.broken");
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
}

TEST_CASE("peers/qmp: a filter that somebody removed is noticed") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    const auto snapshot = planned(*driver, lab);
    need(snapshot->prepare(soon(), {}));
    (void)need(snapshot->take(soon()));
    need(vm.try_ask(
        "qom-set",
        Map{{"path", "/machine/peripheral/vda"}, {"property", "drive"}, {"value", "n-vda"}}));
    CHECK(snapshot->prove_alive().error().id == "snapshot.broken");
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
}

TEST_CASE("peers/qmp: a VM that its user paused stays paused; a running one runs on") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    {
        const auto snapshot = planned(*driver, lab);
        need(snapshot->prepare(soon(), {}));
        const auto times = need(snapshot->take(soon()));
        CHECK(times.mode == "copy-before-write");
        CHECK(times.mode_reason.empty());
        CHECK(times.paused.has_value());
        CHECK(vm.run_state() == "running");
    }
    vm.ask("stop");
    const auto snapshot = planned(*driver, lab);
    need(snapshot->prepare(soon(), {}));
    const auto times = need(snapshot->take(soon()));
    CHECK_FALSE(times.paused.has_value());
    CHECK(vm.run_state() == "paused");
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
    CHECK(vm.run_state() == "paused");
}

TEST_CASE("peers/qmp: somebody else's NBD server is refused and left alone") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    const std::string before = vm.inventory();
    const Map address{{"type", "unix"},
                      {"data", Map{{"path", (lab.vm_folder() / "theirs.sock").string()}}}};
    vm.ask("nbd-server-start", Map{{"addr", address}});
    const auto snapshot = planned(*driver, lab);
    const Status prepared = snapshot->prepare(soon(), {});
    REQUIRE_FALSE(prepared);
    CHECK(prepared.error().id == "qmp.nbd_server_busy");
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
    CHECK(vm.inventory() == before + "NBD server\n");
}

TEST_CASE("peers/qmp: a monitor that somebody holds is busy, one that is missing is not found") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto first = vm.open();
    const env::Deadline brief{real_clock, std::chrono::milliseconds{300}};
    const auto second = hypervisor::qmp::QmpClient::connect(vm.monitor(), brief);
    REQUIRE_FALSE(second);
    CHECK(second.error().id == "qmp.busy");
    const auto missing = hypervisor::open_qmp_vm(lab.path() / "none", "x", real_clock);
    REQUIRE_FALSE(missing);
    CHECK(missing.error().id == "vm.not_found");
}

TEST_CASE("peers/qmp: a scratch folder that QEMU's user cannot reach is named, with the remedy") {
    Lab lab;
    if (!lab.as_nobody()) {
        MESSAGE("not root: QEMU runs as our own user");
        return;
    }
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    auto plan = plan_of(lab, {"vda"}, "", "p1");
    const env::Path closed = lab.job_folder();  // 0700, and not the job folder itself
    plan.job_folder = closed / "job";
    need(env::make_folders(plan.job_folder, 0700));
    const auto snapshot = need(driver->plan_snapshot(plan));
    const Status prepared = snapshot->prepare(soon(), {});
    REQUIRE_FALSE(prepared);
    CHECK(prepared.error().id == "qmp.scratch_denied");
    CHECK(prepared.error().text.find("user nobody") != std::string::npos);
    CHECK(prepared.error().remedy.find(closed.string()) != std::string::npos);
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
    CHECK_FALSE(std::filesystem::exists(plan.job_folder / "qmp"));
}

TEST_CASE("peers/qmp: QEMU dies during the transfer: the end removes the files") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    const auto plan = plan_of(lab, {"vda"}, "", "p1");
    const auto snapshot = need(driver->plan_snapshot(plan));
    need(snapshot->prepare(soon(), {}));
    (void)need(snapshot->take(soon()));
    (void)need(snapshot->open_exports(soon()));
    CHECK(std::filesystem::exists(plan.job_folder / "qmp" / "nbd.sock"));
    vm.kill();
    CHECK(snapshot->prove_alive().error().id == "snapshot.broken");
    SUBCASE("the owner ends it") {
        need(snapshot->end(Snapshot::Outcome::failed, soon()));
    }
    SUBCASE("the keeper ends it") {
        need(hypervisor::clean_up_qmp(snapshot->keeper_document(), soon()));
    }
    CHECK_FALSE(std::filesystem::exists(plan.job_folder / "qmp"));
}

TEST_CASE("peers/qmp: disks that changed between plan and prepare are refused") {
    Lab lab;
    lab.make_disk(vda);
    GuestVm vm{lab, {vda}};
    const auto driver = vm.open();
    const auto snapshot = planned(*driver, lab);
    vm.ask("block_resize", Map{{"node-name", "n-vda"}, {"size", std::uint64_t{24 * MiB}}});
    CHECK(snapshot->prepare(soon(), {}).error().id == "qmp.disk_changed");
    CHECK(driver->plan_snapshot(plan_of(lab, {"none"}, "", "p1")).error().id == "vm.no_such_disk");
}

TEST_CASE("peers/qmp: scratch beyond its budget gives the backup up, in either mode") {
    Lab lab;
    const DiskSpec disk{.id = "vda", .size = 64 * MiB};
    lab.make_disk(disk);
    GuestVm vm{lab, {disk}};
    vm.io("vda", "write -P 1 0 64M");
    const auto driver = vm.open();
    // Of the copy-before-write mode's budget all can be used, of the other's half.
    std::uint64_t fits = 0;
    SUBCASE("copy-before-write") {
        fits = 24;
    }
    SUBCASE("backup job") {
        driver->choose_mode(ModeChoice::only_backup_job);
        fits = 8;
    }
    auto plan = plan_of(lab, {"vda"}, "", "p1");
    plan.scratch_budget = ByteCount{32 * MiB};
    const auto snapshot = need(driver->plan_snapshot(plan));
    need(snapshot->prepare(soon(), {}));
    (void)need(snapshot->take(soon()));
    (void)need(snapshot->open_exports(soon()));
    const auto look = snapshot->room_check();
    vm.io("vda", "write -P 2 0 " + std::to_string(fits) + "M");
    need(look());
    need(snapshot->prove_alive());
    vm.io("vda", "write -P 2 0 " + std::to_string(fits + 12) + "M");
    const Status seen = look();
    REQUIRE_FALSE(seen);
    CHECK(seen.error().id == "snapshot.broken");
    // What was read is right as long as the filter holds; the look is what gives the backup up.
    CHECK(snapshot->prove_alive().has_value() == (fits == 24));
    CHECK(vm.run_state() == "running");
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
}
