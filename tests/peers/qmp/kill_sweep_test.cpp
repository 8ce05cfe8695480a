// The owner of a backup dies at its n-th command to QEMU, for every n: the keeper leaves nothing
// behind, the guest runs, and a bitmap is there to go on from (I2, I6).
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "guest_vm.hpp"
#include "monitor_proxy.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
using hypervisor::qmp::ModeChoice;
using hypervisor::qmp::QmpVm;
using serialization::Map;
using serialization::Value;
namespace fs = std::filesystem;

namespace {

const std::vector<DiskSpec> disks{{.id = "vda"}, {.id = "vdb"}};

struct Sweep {
    Lab lab{QemuUser::ours};  // behind a proxy we are QEMU's user
    ModeChoice mode = ModeChoice::safest;
    env::Path document_path = lab.path() / "document";
    env::Path proxy_path = lab.path() / "proxy.sock";
};

bool note_order(const Snapshot& snapshot, const env::Path& file) {
    const std::string document = to_json(snapshot.keeper_document());
    return env::write_durably(file, as_bytes(document), 0600, file.parent_path()).has_value();
}

// A whole backup in a process of its own. @return exit code
int owner(const Sweep& sweep, const hypervisor::SnapshotPlan& plan) {
    auto driver = QmpVm::open(sweep.proxy_path, "lab", real_clock);
    if (!driver) return 2;
    (*driver)->choose_mode(sweep.mode);
    auto snapshot = (*driver)->plan_snapshot(plan);
    if (!snapshot) return 3;
    const bool steps = note_order(**snapshot, sweep.document_path) &&
                       (*snapshot)->prepare(soon(), {}) && (*snapshot)->take(soon()) &&
                       (*snapshot)->open_exports(soon()) && (*snapshot)->prove_alive() &&
                       (*snapshot)->end(Snapshot::Outcome::published, soon());
    return steps ? 0 : 4;
}

// @return exit code; 128 + SIGKILL when it was killed
int run_owner(const Sweep& sweep, const GuestVm& vm, const hypervisor::SnapshotPlan& plan,
              int commands_max) {
    MonitorProxy proxy{sweep.proxy_path, vm.monitor()};
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) ::_exit(owner(sweep, plan));
    auto child = env::Child::adopt(pid);
    proxy.serve(pid, commands_max);
    return need(child.wait(soon()));
}

// The keeper's part, with the document as the owner would have handed it over without a proxy.
void clean_up(const Sweep& sweep, const GuestVm& vm) {
    if (!fs::exists(sweep.document_path)) return;  // it died before it had begun
    const auto bytes = need(env::read_file(sweep.document_path, 1u << 20));
    Value document = need(serialization::parse_json(as_text(bytes)));
    (*document.map())["socket"] = vm.monitor().string();
    (*document.map())["qemu_pid"] = std::int64_t{vm.pid()};
    need(hypervisor::clean_up_qmp(document, soon()));
    need(hypervisor::clean_up_qmp(document, soon()));
    need(env::remove_file(sweep.document_path));
}

void add_base(GuestVm& vm, const std::string& disk) {
    const auto names = vm.bitmaps(disk);
    if (std::find(names.begin(), names.end(), bitmap_name("base")) != names.end()) return;
    vm.ask("block-dirty-bitmap-add",
           Map{{"node", "n-" + disk}, {"name", bitmap_name("base")}, {"persistent", true}});
}

// What the next run does with the bitmap of a point that never was.
void drop_newest(GuestVm& vm, const std::string& disk, const std::string& name) {
    const auto names = vm.bitmaps(disk);
    CHECK(!names.empty());
    CHECK(names.size() <= 2);
    if (std::find(names.begin(), names.end(), name) == names.end()) return;
    vm.ask("block-dirty-bitmap-remove", Map{{"node", "n-" + disk}, {"name", name}});
}

void kill_at_every_command(ModeChoice mode, int stride) {
    Sweep sweep;
    sweep.mode = mode;
    for (const auto& disk : disks) sweep.lab.make_disk(disk);
    GuestVm vm{sweep.lab, disks};
    const std::string before = vm.inventory();
    int exit_code = 128 + SIGKILL;
    int at = 1;
    for (; exit_code != 0; at += stride) {
        CAPTURE(at);
        REQUIRE(at < 200);
        for (const auto& disk : disks) add_base(vm, disk.id);
        const std::string tag = "p" + std::to_string(at);
        const auto plan = plan_of(sweep.lab, {"vda", "vdb"}, "base", tag);
        exit_code = run_owner(sweep, vm, plan, at);
        CHECK((exit_code == 0 || exit_code == 128 + SIGKILL));
        clean_up(sweep, vm);
        CHECK(vm.run_state() == "running");
        CHECK(vm.inventory() == before);
        CHECK_FALSE(fs::exists(plan.job_folder / "qmp"));
        for (const auto& disk : disks) drop_newest(vm, disk.id, bitmap_name(tag));
    }
    CHECK(at > 20);
}

// Owner and keeper die together, with all exports open. The keeper's order is left in `order`.
void die_with_open_exports(const GuestVm& vm, ModeChoice mode, const hypervisor::SnapshotPlan& plan,
                           const env::Path& order) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        auto driver = QmpVm::open(vm.monitor(), "lab", real_clock);
        if (!driver) ::_exit(2);
        (*driver)->choose_mode(mode);
        auto snapshot = (*driver)->plan_snapshot(plan);
        const bool steps = snapshot && note_order(**snapshot, order) &&
                           (*snapshot)->prepare(soon(), {}) && (*snapshot)->take(soon()) &&
                           (*snapshot)->open_exports(soon());
        if (!steps) ::_exit(3);
        ::raise(SIGKILL);
    }
    auto child = env::Child::adopt(pid);
    REQUIRE(need(child.wait(soon())) == 128 + SIGKILL);
}

// A keeper that comes so late that a newer run is at work; over a second monitor, because a run
// holds its own.
void clean_up_late(const env::Path& order, const env::Path& monitor) {
    const auto bytes = need(env::read_file(order, 1u << 20));
    Value document = need(serialization::parse_json(as_text(bytes)));
    (*document.map())["socket"] = monitor.string();
    need(hypervisor::clean_up_qmp(document, soon()));
}

void next_run_heals(ModeChoice mode) {
    Lab lab;
    for (const auto& disk : disks) lab.make_disk(disk);
    const env::Path second = lab.vm_folder() / "second.sock";
    const env::Path order = lab.path() / "order";
    GuestVm vm{
        lab, disks, Boot::running, {"-qmp", "unix:" + second.string() + ",server=on,wait=off"}};
    const std::string before = vm.inventory();
    die_with_open_exports(vm, mode, plan_of(lab, {"vda", "vdb"}, "", "p1"), order);
    const auto driver = vm.open();
    const auto snapshot = need(driver->plan_snapshot(plan_of(lab, {"vda"}, "p1", "p2")));
    CHECK(vm.inventory() == before);
    need(snapshot->prepare(soon(), {}));
    (void)need(snapshot->take(soon()));
    (void)need(snapshot->open_exports(soon()));
    const std::string exports = to_json(vm.ask("query-block-exports"));
    clean_up_late(order, second);
    CHECK(to_json(vm.ask("query-block-exports")) == exports);
    need(snapshot->prove_alive());
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    CHECK(vm.inventory() == before);
}

// Every command takes about 30 s on a busy machine: that is for the long run.
int stride(int otherwise) {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    return length != nullptr && std::string(length) == "long" ? 1 : otherwise;
}

}  // namespace

TEST_CASE("peers/qmp: without a keeper the next run ends what was left") {
    SUBCASE("copy-before-write") {
        next_run_heals(ModeChoice::safest);
    }
    SUBCASE("backup-job") {
        next_run_heals(ModeChoice::only_backup_job);
    }
}

TEST_CASE("peers/qmp: new bitmaps go with a dead owner, unless its point may be durable") {
    for (const bool undecided : {true, false}) {
        CAPTURE(undecided);
        Lab lab;
        for (const auto& disk : disks) lab.make_disk(disk);
        const env::Path order = lab.path() / "order";
        GuestVm vm{lab, disks};
        for (const auto& disk : disks) add_base(vm, disk.id);
        die_with_open_exports(vm, ModeChoice::safest, plan_of(lab, {"vda", "vdb"}, "base", "p1"),
                              order);
        Value document =
            need(serialization::parse_json(as_text(need(env::read_file(order, 1u << 20)))));
        (*document.map())["undecided"] = undecided;
        need(hypervisor::clean_up_qmp(document, soon()));
        need(hypervisor::clean_up_qmp(document, soon()));
        for (const auto& disk : disks) CHECK(vm.bitmaps(disk.id).size() == (undecided ? 1 : 2));
    }
}

TEST_CASE("peers/qmp: the owner killed at any command, copy-before-write") {
    kill_at_every_command(ModeChoice::safest, stride(2));
}

TEST_CASE("peers/qmp: the owner killed at any command, backup-job") {
    kill_at_every_command(ModeChoice::only_backup_job, stride(3));
}
