#include <doctest/doctest.h>

#include "backup_steps.hpp"
#include "victims.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;

const std::string point_1 = "stillpoint-0badcafe-1";
const std::string point_2 = "stillpoint-0badcafe-2";
const env::SystemClock system_clock;

}  // namespace

TEST_CASE("hypervisor/libvirt: what cannot be opened says why") {
    const auto open = [](const std::string& uri, const std::string& vm) -> Status {
        const auto opened = hypervisor::open_libvirt_vm(uri, vm, system_clock);
        if (!opened) return fail(opened.error());
        return {};
    };
    CHECK(error_id(open("qemu:///system", "no-such-vm")) == "vm.not_found");
    CHECK(error_id(open("qemu:///nowhere", "x")) == "libvirt.connect");
    CHECK(error_id(open("nonsense://", "x")) == "libvirt.connect");
    CHECK(error_id(open("test:///default", "test")) == "libvirt.driver");
}

TEST_CASE("hypervisor/libvirt: impossible plans are refused before anything is done") {
    TestDomain domain{{{"vda"}, {"vdb", "raw", 32}}};
    BackupSteps steps{domain.name()};
    const auto refused = [&](std::vector<hypervisor::DiskPlan> disks) -> std::string {
        auto planned = steps.vm().plan_snapshot(
            {.disks = std::move(disks), .job_folder = job_folder(), .point_id = "p"});
        if (!planned) return planned.error().id;
        return error_id((*planned)->prepare(soon(), env::CancelToken{}));
    };
    CHECK(refused({}) == "snapshot.plan");
    CHECK(refused({{"vda", "", point_1}, {"vda", "", point_1}}) == "snapshot.plan");
    CHECK(refused({{"vda", "", point_1}, {"vdb", "", point_2}}) == "snapshot.plan");
    CHECK(refused({{"vdz", "", ""}}) == "disk.not_found");
    CHECK(refused({{"../vda", "", ""}}) == "scratch.path");
    CHECK(refused({{"vda", point_1, point_2}}) == "bitmap.unusable");
    domain.destroy();
    CHECK(refused({{"vda", "", point_1}}) == "vm.not_running");
}

TEST_CASE("hypervisor/libvirt: a cancelled preparation leaves nothing") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    env::CancelToken cancel;
    cancel.cancel();
    CHECK(error_id(steps.snapshot().prepare(soon(), cancel)) == "job.cancelled");
    steps.drop();
    CHECK(std::filesystem::is_empty(steps.folder()));
}

TEST_CASE("hypervisor/libvirt: another program's backup is waited for, not ended") {
    TestDomain domain{{{"vda"}}};
    const env::Path folder = job_folder();
    std::filesystem::permissions(folder, std::filesystem::perms::all);  // QEMU's user, too
    const std::string socket = folder / "other.sock";
    std::ofstream{folder / "b.xml"} << "<domainbackup mode='pull'><server transport='unix' "
                                       "socket='"
                                    << socket << "'/></domainbackup>";
    virsh_ok({"backup-begin", domain.name(), folder / "b.xml"});
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    const Status prepared = steps.snapshot().prepare(soon(), env::CancelToken{});
    CHECK(error_id(prepared) == "vm.busy");
    CHECK(prepared.error().text.find("backup at " + socket) != std::string::npos);
    steps.drop();
    CHECK(domain.has_job());
}

TEST_CASE("hypervisor/libvirt: after an owner's death the keeper's call leaves nothing") {
    TestDomain domain{{{"vda"}}};
    std::string phase;
    SUBCASE("") {
        phase = "prepared";
    }
    SUBCASE("") {
        phase = "begun";
    }
    SUBCASE("") {
        phase = "taken";
    }
    SUBCASE("") {
        phase = "exported";
    }
    CAPTURE(phase);
    Owner owner{domain, phase, point_1};
    CHECK(std::filesystem::exists(owner.scratch_folder()));
    owner.die();
    auto order = owner.order();
    (*order.map())["undecided"] = true;
    must(hypervisor::clean_up_libvirt(order, soon()));
    CHECK_FALSE(domain.has_job());
    CHECK_FALSE(std::filesystem::exists(owner.scratch_folder()));
    CHECK(domain.checkpoints().empty());                // nor a bitmap of no point
    must(hypervisor::clean_up_libvirt(order, soon()));  // once more: nothing to do
    BackupSteps steps{domain.name()};
    must(steps.vm().remove_bitmaps({{"vda", {point_1}}}, soon()));
    steps.plan({"vda"}, "", point_2);
    steps.capture();
    steps.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2);
}

TEST_CASE("hypervisor/libvirt: the next run ends a dead run's job when no keeper did") {
    TestDomain domain{{{"vda"}}};
    Owner owner{domain, "exported", point_1};
    owner.die();
    CHECK(domain.has_job());
    BackupSteps steps{domain.name()};
    must(steps.vm().remove_bitmaps({{"vda", {point_1}}}, soon()));
    steps.plan({"vda"}, "", point_2);
    steps.capture();
    must(steps.snapshot().prove_alive());
    // And the dead run's keeper, when it comes at last, finds nothing of its own.
    auto order = owner.order();
    (*order.map())["undecided"] = true;
    must(hypervisor::clean_up_libvirt(order, soon()));
    must(steps.snapshot().prove_alive());
    CHECK(std::filesystem::exists(steps.folder() / "qemu"));
    steps.end(Snapshot::Outcome::published);
    CHECK_FALSE(std::filesystem::exists(owner.scratch_folder()));
    CHECK(domain.checkpoints() == point_2);
}

TEST_CASE("hypervisor/libvirt: the clean-up leaves other jobs and VMs alone") {
    TestDomain domain{{{"vda"}}};
    Owner owner{domain, "exported", point_1};
    auto order = owner.order();
    (*order.map())["socket"] = "/elsewhere/stillpoint-nbd.sock";
    (*order.map())["folder"] = "/elsewhere";
    (*order.map())["scratch"] = serialization::Map{};
    must(hypervisor::clean_up_libvirt(order, soon()));
    CHECK(domain.has_job());
    (*order.map())["vm"] = "00000000-0000-4000-8000-000000000000";
    must(hypervisor::clean_up_libvirt(order, soon()));  // undefined meanwhile
    CHECK(error_id(hypervisor::clean_up_libvirt(serialization::Map{}, soon())) ==
          "keeper.document");
    owner.die();
    must(hypervisor::clean_up_libvirt(owner.order(), soon()));
    CHECK(domain.checkpoints() == point_1);  // its point may be durable: the next run knows
}

TEST_CASE("hypervisor/libvirt: a job that ended under us proves nothing any more") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    steps.capture();
    must(steps.snapshot().prove_alive());
    SUBCASE("ended at libvirt") {
        virsh_ok({"domjobabort", domain.name()});
    }
    SUBCASE("ended in QEMU") {
        domain.qmp(R"({"execute":"block-job-cancel","arguments":{"device":)"
                   R"("backup-vda-libvirt-1-format","force":true}})");
    }
    SUBCASE("QEMU killed") {
        domain.kill_qemu();
    }
    SUBCASE("the VM destroyed") {
        domain.destroy();
    }
    CHECK(error_id(steps.snapshot().prove_alive()) == "snapshot.broken");
    steps.end(Snapshot::Outcome::failed);
    CHECK(std::filesystem::is_empty(steps.folder()));
    CHECK(domain.checkpoints().empty());
}

TEST_CASE("hypervisor/libvirt: a begin that fails leaves no checkpoint and no job") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    must(steps.snapshot().prepare(soon(), env::CancelToken{}));
    for (const auto& entry : std::filesystem::directory_iterator(steps.folder() / "qemu")) {
        std::filesystem::remove(entry.path());
    }
    CHECK_FALSE(steps.snapshot().take(soon()).has_value());
    steps.end(Snapshot::Outcome::failed);
    CHECK_FALSE(domain.has_job());
    CHECK(domain.checkpoints().empty());
    CHECK(std::filesystem::is_empty(steps.folder()));
}

TEST_CASE("hypervisor/libvirt: a daemon that hangs costs its deadline, no more") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    const std::string pid = run({"cat", "/run/libvirtd.pid"});
    const auto daemon = must(env::ProcessWatch::open(static_cast<pid_t>(std::stoi(pid))));
    daemon.kill(SIGSTOP);
    const auto before = system_clock.monotonic();
    const Status prepared =
        steps.snapshot().prepare({system_clock, std::chrono::seconds{2}}, env::CancelToken{});
    const auto waited = system_clock.monotonic() - before;
    daemon.kill(SIGCONT);
    CHECK(error_id(prepared) == "libvirt.timeout");
    CHECK(waited < std::chrono::seconds{10});
    steps.end(Snapshot::Outcome::failed);
    CHECK(std::filesystem::is_empty(steps.folder()));
}

TEST_CASE("hypervisor/libvirt: once all is read the guest is let go; checkpoints wait") {
    TestDomain domain{{{"vda"}}};
    for (const auto outcome : {Snapshot::Outcome::published, Snapshot::Outcome::failed}) {
        const bool published = outcome == Snapshot::Outcome::published;
        BackupSteps steps{domain.name()};
        steps.plan({"vda"}, published ? "" : point_1, published ? point_1 : point_2);
        steps.capture();
        must(steps.snapshot().prove_alive());
        must(steps.snapshot().let_go(soon()));
        CHECK_FALSE(domain.has_job());
        CHECK(std::filesystem::is_empty(steps.folder()));
        CHECK(domain.checkpoints() == (published ? point_1 : point_1 + " " + point_2));
        steps.end(outcome);
        CHECK(domain.checkpoints() == point_1);
    }
}

TEST_CASE("hypervisor/libvirt: scratch of a job that could not be ended is left to the keeper") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    steps.capture();
    auto order = steps.snapshot().keeper_document();
    const std::string pid = run({"cat", "/run/libvirtd.pid"});
    const auto daemon = must(env::ProcessWatch::open(static_cast<pid_t>(std::stoi(pid))));
    daemon.kill(SIGSTOP);
    const Status ended =
        steps.snapshot().end(Snapshot::Outcome::failed, {system_clock, std::chrono::seconds{1}});
    // By it the keeper knows that a guest which is paused by an I/O error is its to resume.
    const bool left = std::filesystem::exists(steps.folder() / "qemu" / "scratch-vda.qcow2");
    daemon.kill(SIGCONT);
    CHECK(error_id(ended) == "libvirt.timeout");
    CHECK(left);
    (*order.map())["undecided"] = true;
    must(hypervisor::clean_up_libvirt(order, soon()));
    CHECK_FALSE(domain.has_job());
    CHECK(std::filesystem::is_empty(steps.folder()));
    CHECK(domain.checkpoints().empty());
}

TEST_CASE("hypervisor/libvirt: a daemon that was restarted meanwhile breaks only this backup") {
    TestDomain domain{{{"vda"}}};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1);
    steps.capture();
    const std::string pid = run({"cat", "/run/libvirtd.pid"});
    const auto old = must(env::ProcessWatch::open(static_cast<pid_t>(std::stoi(pid))));
    old.kill(SIGTERM);
    REQUIRE(old.ended(soon()));
    const auto daemon =
        must(env::Child::spawn({.arguments = {std::getenv("STILLPOINT_LIBVIRTD")}}));
    REQUIRE(eventually([] { return virsh({"version"}).exit_code == 0; }));
    CHECK(error_id(steps.snapshot().prove_alive()) == "snapshot.broken");
    CHECK_FALSE(steps.snapshot().end(Snapshot::Outcome::failed, soon()).has_value());
    CHECK_FALSE(domain.has_job());
    CHECK(std::filesystem::is_empty(steps.folder()));
    BackupSteps again{domain.name()};
    must(again.vm().remove_bitmaps({{"vda", {point_1}}}, soon()));
    again.plan({"vda"}, "", point_2);
    again.capture();
    again.end(Snapshot::Outcome::published);
    CHECK(domain.checkpoints() == point_2);
}
