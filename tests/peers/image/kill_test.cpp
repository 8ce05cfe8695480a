// The owner dies at any step: no daemon stays, the images are sound, and the next run is right.
#include <sys/wait.h>
#include <unistd.h>

#include "env/poll.hpp"
#include "images.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
namespace fs = std::filesystem;

namespace {

enum class DieAt { prepared, taken, exported, proven, ended, never };

void die_if(DieAt now, DieAt wanted) {
    if (now == wanted) ::raise(SIGKILL);
}

// A whole backup in a process of its own. @return exit code
int owner(OffLab& lab, const hypervisor::SnapshotPlan& plan, DieAt when) {
    const auto vm = lab.open();
    if (!vm->inspect(soon())) return 2;
    const auto snapshot = vm->plan_snapshot(plan);
    if (!snapshot || !(*snapshot)->prepare(soon(), {})) return 3;
    die_if(DieAt::prepared, when);
    if (!(*snapshot)->take(soon())) return 4;
    die_if(DieAt::taken, when);
    if (!(*snapshot)->open_exports(soon())) return 5;
    die_if(DieAt::exported, when);
    if (!(*snapshot)->prove_alive()) return 6;
    die_if(DieAt::proven, when);
    if (!(*snapshot)->end(Snapshot::Outcome::published, soon())) return 7;
    die_if(DieAt::ended, when);
    return 0;
}

env::Child start_owner(OffLab& lab, const hypervisor::SnapshotPlan& plan, DieAt when) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) ::_exit(owner(lab, plan, when));
    return env::Child::adopt(pid);
}

void wait_for_no_daemon(const OffLab& lab) {
    const env::Deadline deadline = soon();
    while (daemons_of(lab) > 0) {
        REQUIRE_FALSE(deadline.passed());
        need(env::pause(std::chrono::milliseconds{5}, {}));
    }
}

serialization::Value document_of(const hypervisor::SnapshotPlan& plan) {
    return serialization::Map{
        {"driver", "image"}, {"label", "lab"}, {"folder", (plan.job_folder / "image").string()}};
}

// The next run, as the route decides it: a parent that can be used, or the whole disk.
void next_run_is_right(OffLab& lab, const env::Path& image, const std::string& tag) {
    const auto vm = lab.open();
    const auto info = need(vm->inspect(soon()));
    CHECK(info.disks[0].bitmaps.size() <= 2);
    std::string parent;
    std::vector<std::string> orphans;
    for (const auto& bitmap : info.disks[0].bitmaps) {
        const bool usable = bitmap.state == hypervisor::BitmapState::usable;
        if (bitmap.name == bitmap_name("base") && usable) {
            parent = "base";
        } else {
            orphans.push_back(bitmap.name);
        }
    }
    need(vm->remove_bitmaps({{"vda", orphans}}, soon()));
    const auto taken = need(take_backup(*vm, lab.plan(parent, tag)));
    CHECK(difference(taken.content.at("vda"), content_of(image)) == "");
    CHECK(bitmaps_in(image) == bitmap_name(tag) + ":auto");
    CHECK(is_sound(image));
    run({"qemu-img", "bitmap", "--remove", image, bitmap_name(tag)});
}

}  // namespace

TEST_CASE("peers/image: the owner killed after any step, with and without a keeper") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    for (const DieAt when :
         {DieAt::prepared, DieAt::taken, DieAt::exported, DieAt::proven, DieAt::ended}) {
        CAPTURE(static_cast<int>(when));
        run({"qemu-img", "bitmap", "--add", "-f", "qcow2", image, bitmap_name("base")});
        const auto plan = lab.plan("base", "p1");
        auto child = start_owner(lab, plan, when);
        CHECK(need(child.wait(soon())) == 128 + SIGKILL);
        wait_for_no_daemon(lab);
        need(hypervisor::clean_up_image(document_of(plan), soon()));
        need(hypervisor::clean_up_image(document_of(plan), soon()));
        CHECK_FALSE(fs::exists(plan.job_folder / "image"));
        CHECK(is_sound(image));
        next_run_is_right(lab, image, "p2");
    }
}

TEST_CASE("peers/image: the owner killed at any moment") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    write_offline(image, "write -P 5 0 8M");
    int finished = 0;
    for (int step = 1; finished < 2; ++step) {
        REQUIRE(step < 400);
        CAPTURE(step);
        write_offline(image, "write -P " + std::to_string(step % 200) + " 2M 64k");
        run({"qemu-img", "bitmap", "--add", "-f", "qcow2", image, bitmap_name("base")});
        const auto plan = lab.plan("base", "p1");
        auto child = start_owner(lab, plan, DieAt::never);
        const auto early =
            child.wait(env::Deadline{real_clock, std::chrono::milliseconds{4} * step});
        if (!early) {
            child.kill(SIGKILL);
            need(child.wait(soon()));
        } else {
            CHECK(*early == 0);
            ++finished;
        }
        need(hypervisor::clean_up_image(document_of(plan), soon()));
        wait_for_no_daemon(lab);
        CHECK(is_sound(image));
        next_run_is_right(lab, image, "p" + std::to_string(step + 1));
    }
}

TEST_CASE("peers/image: a keeper ends a daemon that nobody else ended") {
    OffLab lab;
    lab.add("vda");
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    const auto plan = lab.plan("", "p1");
    const auto snapshot = need(vm->plan_snapshot(plan));
    need(snapshot->prepare(soon(), {}));
    REQUIRE(daemons_of(lab) == 1);
    need(hypervisor::clean_up_image(snapshot->keeper_document(), soon()));
    wait_for_no_daemon(lab);  // as a zombie it has no files any more
    CHECK_FALSE(fs::exists(plan.job_folder / "image"));
    CHECK_FALSE(snapshot->prove_alive());
}

TEST_CASE("peers/image: a keeper spares a process that only has the daemon's number") {
    OffLab lab;
    const auto plan = lab.plan("", "p1");
    const env::Path folder = plan.job_folder / "image";
    need(env::make_folders(folder, 0700));
    env::SpawnOptions options;
    options.arguments = {"sleep", "1000"};
    auto bystander = need(env::Child::spawn(options));
    const std::string record = std::to_string(bystander.pid()) + " 12345\n";
    need(env::write_durably(folder / "daemon", as_bytes(record), 0600, folder));
    need(hypervisor::clean_up_image(document_of(plan), soon()));
    CHECK(env::started_at(bystander.pid()));
    CHECK_FALSE(bystander.wait(env::Deadline{real_clock, std::chrono::milliseconds{1}}));
}
