#include <doctest/doctest.h>

#include "hypervisor/libvirt/lane.hpp"
#include "hypervisor/libvirt/preflight.hpp"
#include "hypervisor/libvirt/scratch.hpp"
#include "hypervisor/libvirt/watch.hpp"
#include "support/fake_clock.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::libvirt;

const env::SystemClock system_clock;

env::Deadline within(std::chrono::milliseconds budget) {
    return {system_clock, budget};
}

WatchState watching() {
    return WatchState{{"vda", "vdb"}, system_clock};
}

}  // namespace

TEST_CASE("hypervisor/libvirt/watch: the instant has come when the last job runs") {
    WatchState state = watching();
    state.job_changed("backup-vda-libvirt-2-format", "created");
    state.job_changed("backup-vda-libvirt-2-format", "running");
    state.job_changed("backup-vda-libvirt-2-format", "paused");  // drained until the commit is over
    state.job_changed("other-job", "running");
    CHECK_FALSE(state.wait_captured(within(std::chrono::milliseconds{0})).has_value());
    state.job_changed("backup-vdb-libvirt-1-format", "running");
    const auto instant = state.wait_captured(within(std::chrono::milliseconds{0}));
    REQUIRE(instant.has_value());
    REQUIRE(instant->has_value());
    state.job_changed("backup-vda-libvirt-2-format", "running");  // a second time moves nothing
    CHECK((*state.wait_captured(within(std::chrono::milliseconds{0})))->monotonic ==
          (*instant)->monotonic);
    CHECK_FALSE(state.broken().has_value());
}

TEST_CASE("hypervisor/libvirt/watch: a call that returned first ends the wait without an instant") {
    WatchState state = watching();
    state.begin_returned();
    const auto instant = state.wait_captured(within(std::chrono::milliseconds{0}));
    REQUIRE(instant.has_value());
    CHECK_FALSE(instant->has_value());
}

TEST_CASE("hypervisor/libvirt/watch: a job's end breaks the snapshot, an earlier job's does not") {
    WatchState state = watching();
    state.job_changed("backup-vda-libvirt-2-format", "null");  // of the run before
    state.job_completed();
    CHECK_FALSE(state.broken().has_value());
    state.job_changed("backup-vda-libvirt-2-format", "running");
    state.job_changed("backup-vdb-libvirt-1-format", "running");
    SUBCASE("QEMU's") {
        state.job_changed("backup-vdb-libvirt-1-format", "aborting");
    }
    SUBCASE("libvirt's") {
        state.job_completed();
    }
    SUBCASE("the VM's") {
        state.broke("the VM was stopped");
    }
    SUBCASE("an I/O error") {
        state.io_error();
    }
    const auto first = state.broken();
    REQUIRE(first.has_value());
    state.broke("something later");
    CHECK(state.broken() == first);
}

TEST_CASE("hypervisor/libvirt/watch: the end that we make breaks nothing") {
    WatchState state = watching();
    state.job_changed("backup-vda-libvirt-2-format", "running");
    state.job_changed("backup-vdb-libvirt-1-format", "running");
    state.expect_end();
    state.job_changed("backup-vda-libvirt-2-format", "aborting");
    state.job_completed();
    CHECK_FALSE(state.broken().has_value());
    CHECK(state.ending());
}

TEST_CASE("hypervisor/libvirt/scratch: names are decided from the plan; odd ones are refused") {
    const auto paths = scratch_paths("/var/lib/stillpoint/jobs/1", {"vda", "sd-a.1"});
    REQUIRE(paths.has_value());
    CHECK(paths->files.at("vda") == "/var/lib/stillpoint/jobs/1/qemu/scratch-vda.qcow2");
    for (const char* name : {"", ".", "..", "a/b", "a b", "-\n"}) {
        CAPTURE(name);
        CHECK_FALSE(scratch_paths("/j", {name}).has_value());
    }
    CHECK_FALSE(scratch_paths("/" + std::string(100, 'x'), {"vda"}).has_value());
}

TEST_CASE("hypervisor/libvirt/watch: who resumed the guest says after how long") {
    test::FakeClock clock;
    WatchState state{{"vda"}, clock};
    state.runs_again();  // of a guest that never stopped: nothing to say
    CHECK_FALSE(state.broken());
    state.io_error();
    CHECK(state.broken());
    CHECK_FALSE(state.verdict());  // soon it says more
    clock.advance(std::chrono::milliseconds{120});
    state.runs_again();
    CHECK(state.verdict() == state.broken());
    CHECK(state.broken()->find("resumed after 120 ms") != std::string::npos);
    // One that nobody can resume is not waited for.
    state.io_error();
    clock.advance(WatchState::resume_max);
    CHECK(state.verdict());
}

TEST_CASE("hypervisor/libvirt/preflight: a plan is held against what the VM is now") {
    Facts facts;
    facts.vm.disks = {{.name = "vda",
                       .format = "qcow2",
                       .persistent_bitmaps = true,
                       .bitmaps = {{.name = "good", .state = BitmapState::usable},
                                   {.name = "bad", .state = BitmapState::inconsistent}}},
                      {.name = "vdb", .format = "raw"},
                      {.name = "vdr", .read_only = true}};
    const auto id = [&](const DiskPlan& disk) -> std::string {
        const Status status =
            check_plan({.disks = {disk}, .job_folder = {}, .point_id = {}}, facts);
        return status ? "" : status.error().id;
    };
    CHECK(id({"vda", "good", "new"}).empty());
    CHECK(id({"vda", "bad", "new"}) == "bitmap.unusable");
    CHECK(id({"vda", "gone", "new"}) == "bitmap.unusable");
    CHECK(id({"vdb", "", ""}).empty());
    CHECK(id({"vdb", "", "new"}).empty());
    const SnapshotPlan possible = without_impossible_bitmaps(
        {.disks = {{"vda", "good", "new"}, {"vdb", "", "new"}}, .job_folder = {}, .point_id = {}},
        facts);
    CHECK(possible.disks[0].new_bitmap == "new");
    CHECK(possible.disks[1].new_bitmap.empty());
    CHECK(id({"vdr", "", ""}) == "disk.not_found");
    facts.vm.state = VmState::shut_off;
    CHECK(id({"vda", "", ""}) == "vm.not_running");
}

TEST_CASE("hypervisor/libvirt/lane: calls run in order; a slow one costs its deadline alone") {
    Lane lane;
    Pending<int> gate{"a gate"};
    const auto slow = lane.start<int>("wait at the gate", [gate] {
        return gate.wait({system_clock, std::chrono::seconds{30}});
    });
    const auto next = lane.start<int>("come next", [] { return Result<int>{2}; });
    const auto early = slow.wait(within(std::chrono::milliseconds{1}));
    REQUIRE_FALSE(early.has_value());
    CHECK(early.error().id == "libvirt.timeout");
    CHECK(early.error().text.find("wait at the gate") != std::string::npos);
    gate.set(1);
    CHECK(*slow.wait(within(std::chrono::seconds{30})) == 1);
    CHECK(*next.wait(within(std::chrono::seconds{30})) == 2);
}
