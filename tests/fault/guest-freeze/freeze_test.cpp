#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "support.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace stillpoint::test;
using namespace std::chrono_literals;

namespace {

constexpr Nanoseconds a_moment = 100ms;  // long enough for a writer that is not blocked

struct World {
    TempFolder folder;
    LoopFs one{folder.path(), "one", "ext4"};
    LoopFs two{folder.path(), "two", "xfs"};
    os::PlainWaiter waiter;

    FreezeRun frozen(FreezeBudgets budgets = {}) {
        FreezeRun run = FreezeRun::start(plan_below(folder.path()), waiter).value();
        REQUIRE(run.sync(os::boottime() + 10s, waiter));
        REQUIRE(run.freeze(budgets, waiter));
        return run;
    }
    /// Both filesystems take writes again before `span` has passed.
    bool writable_within(Nanoseconds span) const {
        const Nanoseconds until = os::boottime() + span;
        const Writer first{one.point()};
        const Writer second{two.point()};
        return first.done_within(until - os::boottime()) &&
               second.done_within(until - os::boottime());
    }
    bool no_process_left() const {
        return eventually(slack, [] {
            os::reap_finished();
            return processes_named("sp-watchdog", ::getpid()).empty() &&
                   processes_named("sp-rescuer", ::getpid()).empty() &&
                   processes_named("sp-freezer", ::getpid()).empty();
        });
    }
};

pid_t only(const std::string& name, pid_t parent = ::getpid()) {
    const auto found = processes_named(name, parent);
    REQUIRE(!found.empty());
    return found.front();
}

}  // namespace

TEST_CASE("guest-freeze: writers are blocked from freeze to thaw and the evidence says so") {
    World world;
    FreezeRun run = world.frozen();
    const Writer first{world.one.point()};
    const Writer second{world.two.point()};
    CHECK(!first.done_within(a_moment));
    CHECK(!second.done_within(a_moment));
    CHECK(run.tend());
    for (const auto& evidence : run.frozen_evidence()) {
        CHECK(evidence.quiesced);
        CHECK(evidence.duration_ns > 0);
    }
    const ThawReport report = run.thaw(world.waiter);
    CHECK(report.held);
    CHECK(report.problem.empty());
    REQUIRE(report.evidence.size() == 2);
    CHECK(report.evidence[0].name == world.one.point());
    CHECK(report.evidence[0].type == "ext4");
    CHECK(report.evidence[0].quiesced);
    CHECK(report.evidence[0].duration_ns >= (2 * a_moment).count());
    CHECK(first.done_within(slack));
    CHECK(second.done_within(slack));
    CHECK(run.first_freeze() < run.frozen());
    CHECK(run.frozen() < report.thaw);
    CHECK(report.thaw < report.thawed);
    CHECK(world.no_process_left());
}

TEST_CASE("guest-freeze: a foreign freeze is respected; strict rolls ours back") {
    World world;
    REQUIRE(world.two.foreign_freeze() == 0);
    FreezePlan plan = plan_below(world.folder.path());
    plan.mode = FreezeMode::strict;
    FreezeRun run = FreezeRun::start(std::move(plan), world.waiter).value();
    REQUIRE(run.sync(os::boottime() + 10s, world.waiter));
    const Status frozen = run.freeze({}, world.waiter);
    REQUIRE(!frozen);
    CHECK(frozen.error().id == "freeze.foreign");
    CHECK(frozen.error().text.find(world.two.point().string()) != std::string::npos);
    const ThawReport report = run.thaw(world.waiter);
    CHECK(!report.held);
    CHECK(Writer{world.one.point()}.done_within(slack));
    CHECK(world.two.foreign_freeze() == EBUSY);
    CHECK(world.two.foreign_thaw() == 0);
}

TEST_CASE("guest-freeze: a foreign freeze survives the death of the agent's line as well") {
    World world;
    REQUIRE(world.two.foreign_freeze() == 0);
    {
        FreezeRun run = FreezeRun::start(plan_below(world.folder.path()), world.waiter).value();
        CHECK(run.freeze({}, world.waiter));
    }  // never thawed by the agent: the watchdog's work
    CHECK(Writer{world.one.point()}.done_within(slack));
    CHECK(world.no_process_left());
    CHECK(world.two.foreign_thaw() == 0);
}

TEST_CASE("guest-freeze: best effort goes on without what somebody else has frozen") {
    World world;
    REQUIRE(world.two.foreign_freeze() == 0);
    FreezeRun run = world.frozen();
    CHECK(!Writer{world.one.point()}.done_within(a_moment));
    for (const auto& evidence : run.frozen_evidence()) {
        CHECK(evidence.quiesced == evidence.freezable);
    }
    const ThawReport report = run.thaw(world.waiter);
    CHECK(report.held);
    CHECK(report.evidence[0].quiesced);
    CHECK(!report.evidence[1].quiesced);
    CHECK(!report.evidence[1].freezable);
    CHECK(report.evidence[1].note == "is frozen by somebody else");
    CHECK(world.two.foreign_freeze() == EBUSY);
    CHECK(world.two.foreign_thaw() == 0);
}

TEST_CASE("guest-freeze: nothing of ours to freeze is no freeze, in either mode") {
    World world;
    REQUIRE(world.one.foreign_freeze() == 0);
    REQUIRE(world.two.foreign_freeze() == 0);
    FreezeRun run = FreezeRun::start(plan_below(world.folder.path()), world.waiter).value();
    const Status frozen = run.freeze({}, world.waiter);
    REQUIRE(!frozen);
    CHECK(frozen.error().id == "freeze.foreign");
    CHECK(!run.thaw(world.waiter).held);
    CHECK(world.one.foreign_freeze() == EBUSY);
}

TEST_CASE("guest-freeze: strict refuses what is uncovered unless it is excluded") {
    World world;
    FreezePlan plan = plan_below(world.folder.path());
    plan.mode = FreezeMode::strict;
    plan.uncovered.push_back({"/fuse", "fuseblk", {8, 1}, true, "excluded"});
    CHECK(FreezeRun::start(FreezePlan{plan}, world.waiter));
    plan.uncovered.push_back({"/ntfs", "fuseblk", {8, 2}, false, "served by a program"});
    const auto refused = FreezeRun::start(std::move(plan), world.waiter);
    REQUIRE(!refused);
    CHECK(refused.error().id == "freeze.uncovered");
}

TEST_CASE("guest-freeze: a mount's own budget ends the wait for it") {
    World world;
    StuckWriter stuck{world.one.point()};
    FreezePlan plan = plan_below(world.folder.path());
    for (Target& target : plan.targets) {
        if (target.name == world.one.point()) target.budget = 200ms;
    }
    FreezeRun run = FreezeRun::start(std::move(plan), world.waiter).value();
    const Nanoseconds begin = os::boottime();
    const Status frozen = run.freeze({.freeze = 20s, .hold = 20s}, world.waiter);
    REQUIRE(!frozen);
    CHECK(frozen.error().id == "freeze.timeout");
    CHECK(os::boottime() - begin < 2s);
    CHECK(!run.thaw(world.waiter).held);
    CHECK(Writer{world.two.point()}.done_within(slack));
    stuck.release();
    CHECK(eventually(slack, [&] { return run.stuck().empty(); }));
}

TEST_CASE("guest-freeze: a covered mount is frozen, also below a covered folder") {
    World world;
    const std::string one = world.one.point();
    REQUIRE(shell("mount -t tmpfs cover " + one + " && mount -t tmpfs cover " + one));
    const FreezePlan plan = plan_below(world.folder.path());
    REQUIRE(plan.targets.size() == 2);
    CHECK(plan.targets[0].name == one + " (hidden)");
    FreezeRun run = world.frozen();
    const ThawReport report = run.thaw(world.waiter);
    CHECK(report.held);
    CHECK(report.evidence.size() == 2);
    CHECK(shell("umount " + one + " && umount " + one));  // they are still there
    REQUIRE(shell("mount -t tmpfs cover " + world.folder.path().string()));
    FreezePlan below = plan_below(world.folder.path());
    CHECK(below.targets.size() == 2);
    CHECK(below.targets[0].candidates[0].reach == Candidate::Reach::hidden);
    FreezeRun again = FreezeRun::start(std::move(below), world.waiter).value();
    CHECK(again.freeze({}, world.waiter));
    CHECK(shell("umount " + world.folder.path().string()));
    CHECK(!Writer{world.one.point()}.done_within(a_moment));
    CHECK(again.thaw(world.waiter).held);
}

TEST_CASE("guest-freeze: a filesystem mounted in another namespace alone is frozen") {
    World world;
    const std::string one = world.one.point();
    const Elsewhere elsewhere{one};  // has it mounted; here it is not any more
    REQUIRE(shell("umount " + one));
    FreezePlan plan = plan_below(world.folder.path());
    REQUIRE(plan.targets.size() == 2);
    CHECK(plan.targets[0].name.starts_with(one + " (in "));
    FreezeRun run = world.frozen();
    CHECK(elsewhere.foreign_freeze() == EBUSY);
    CHECK(run.thaw(world.waiter).held);
    CHECK(elsewhere.foreign_freeze() == 0);
    CHECK(elsewhere.foreign_thaw() == 0);
}

TEST_CASE("guest-freeze: a lazily unmounted filesystem is frozen through who uses it") {
    World world;
    const std::string one = world.one.point();
    const os::UniqueFd file{::open((one + "/in-use").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    REQUIRE(file.valid());
    REQUIRE(shell("umount -l " + one));
    FreezePlan plan = plan_of_all();
    std::erase_if(plan.targets, [](const Target& target) {
        return target.name.find("(mounted nowhere)") == std::string::npos;
    });
    REQUIRE(plan.targets.size() == 1);
    FreezeRun run = FreezeRun::start(std::move(plan), world.waiter).value();
    REQUIRE(run.freeze({}, world.waiter));
    CHECK(::ioctl(file.get(), FIFREEZE, 0) == -1);
    CHECK(errno == EBUSY);
    CHECK(run.thaw(world.waiter).held);
    CHECK(::pwrite(file.get(), "x", 1, 0) == 1);
}

TEST_CASE("guest-freeze: names with spaces, newlines, UTF-8 and backslashes") {
    const TempFolder folder;
    const LoopFs odd{folder.path(), "a b\nc\\040 \u00e9\u4e2d", "ext4"};
    os::PlainWaiter waiter;
    const FreezePlan plan = plan_below(folder.path());
    REQUIRE(plan.targets.size() == 1);
    CHECK(plan.targets[0].name == odd.point());
    FreezeRun run = FreezeRun::start(FreezePlan{plan}, waiter).value();
    REQUIRE(run.freeze({}, waiter));
    CHECK(!Writer{odd.point()}.done_within(a_moment));
    CHECK(run.thaw(waiter).held);
}

TEST_CASE("guest-freeze: a filesystem of which one file alone is mounted") {
    World world;
    const std::string one = world.one.point();
    const std::string file = world.folder.path() / "file";
    REQUIRE(shell("touch " + file + " " + one + "/inner && mount --bind " + one + "/inner " + file +
                  " && umount " + one));
    const FreezePlan plan = plan_below(world.folder.path());
    REQUIRE(plan.targets.size() == 2);
    CHECK(plan.targets[0].name == file);
    FreezeRun run = world.frozen();
    CHECK(run.plan().uncovered.empty());
    CHECK(run.thaw(world.waiter).held);
    CHECK(shell("umount -l " + file));  // the run still has it open
}

TEST_CASE("guest-freeze: 300 bind mounts are one freeze") {
    World world;
    const std::string folder = world.folder.path();
    REQUIRE(shell("for i in $(seq 300); do mkdir -p " + folder + "/b$i && mount --bind " +
                  world.one.point().string() + " " + folder + "/b$i || exit 1; done"));
    CHECK(plan_below(world.folder.path()).targets.size() == 2);
    FreezeRun run = world.frozen();
    CHECK(!Writer{world.folder.path() / "b299"}.done_within(a_moment));
    CHECK(run.thaw(world.waiter).held);
    CHECK(shell("for i in $(seq 300); do umount " + folder + "/b$i; done"));
}

TEST_CASE("guest-freeze: somebody else's thaw in the window costs the claim") {
    World world;
    FreezeRun run = world.frozen();
    REQUIRE(world.one.foreign_thaw() == 0);
    const ThawReport report = run.thaw(world.waiter);
    CHECK(!report.held);
    CHECK(!report.evidence[0].quiesced);
    CHECK(report.evidence[0].note == "was thawed by somebody else");
    CHECK(report.evidence[1].quiesced);
    CHECK(!report.problem.empty());
}

TEST_CASE("guest-freeze: a loop device's filesystem is frozen before and thawed after its base") {
    World world;
    const LoopFs upper{world.two.point(), "upper", "ext4"};
    FreezePlan plan = plan_below(world.folder.path());
    REQUIRE(plan.targets.size() == 3);
    CHECK(plan.targets[0].name == upper.point());
    CHECK(plan.targets[0].level == plan.targets[1].level + 1);
    CHECK(plan.targets[2].level == plan.targets[1].level);
    for (int round = 0; round < 3; ++round) {
        FreezeRun run = world.frozen();
        CHECK(run.thaw(world.waiter).held);
    }
    CHECK(Writer{upper.point()}.done_within(slack));
}

TEST_CASE("guest-freeze: the deadline counts from the first freeze and thaws without the agent") {
    World world;
    FreezeRun run = world.frozen({.freeze = 5s, .hold = 300ms});
    CHECK(!Writer{world.one.point()}.done_within(a_moment));
    CHECK(world.writable_within(300ms + slack));
    CHECK(eventually(slack, [&] { return !run.tend(); }));
    CHECK(run.tend().error().id == "freeze.deadline");
    const ThawReport report = run.thaw(world.waiter);
    CHECK(!report.held);
    CHECK(!report.evidence[0].quiesced);
    CHECK(report.problem.find("deadline") != std::string::npos);
}

TEST_CASE("guest-freeze: kill -9 of a freezer in the window") {
    World world;
    FreezeRun run = world.frozen();
    ::kill(only("sp-freezer"), SIGKILL);
    CHECK(eventually(slack, [&] { return !run.tend(); }));
    const ThawReport report = run.thaw(world.waiter);
    CHECK(!report.held);
    CHECK(report.problem.find("died") != std::string::npos);
    CHECK(world.writable_within(slack));
    CHECK(world.no_process_left());
}

TEST_CASE("guest-freeze: kill -9 of the watchdog in the window") {
    World world;
    FreezeRun run = world.frozen();
    ::kill(only("sp-watchdog"), SIGKILL);
    CHECK(world.writable_within(slack));  // the rescuers act by themselves
    CHECK(eventually(slack, [&] { return !run.tend(); }));
    CHECK(!run.thaw(world.waiter).held);
}

TEST_CASE("guest-freeze: kill -9 of watchdog and rescuers leaves the freezers to thaw") {
    World world;
    FreezeRun run = world.frozen();
    for (const pid_t rescuer : processes_named("sp-rescuer", ::getpid())) ::kill(rescuer, SIGKILL);
    ::kill(only("sp-watchdog"), SIGKILL);
    CHECK(eventually(slack, [&] { return !run.tend(); }));
    CHECK(!run.thaw(world.waiter).held);
    CHECK(world.writable_within(slack));
}

TEST_CASE("guest-freeze: kill -9 and SIGSTOP of the agent in the window") {
    World world;
    for (const int number : {SIGKILL, SIGSTOP}) {
        CAPTURE(number);
        os::FdPair ready = os::make_pipe().value();
        const pid_t agent = ::fork();
        if (agent == 0) {
            FreezeRun run = world.frozen({.freeze = 5s, .hold = 30s});
            const char byte = 'f';
            if (::write(ready.second.get(), &byte, 1) != 1) ::_exit(1);
            for (;;) ::pause();
        }
        char byte = 0;
        REQUIRE(::read(ready.first.get(), &byte, 1) == 1);
        CHECK(!Writer{world.one.point()}.done_within(a_moment));
        ::kill(agent, number);
        // A stopped agent is noticed by its silence.
        const Nanoseconds budget = number == SIGSTOP ? heartbeats_missed_max * heartbeat_every : 0s;
        CHECK(world.writable_within(budget + slack));
        ::kill(agent, SIGKILL);
        ::waitpid(agent, nullptr, 0);
    }
}

TEST_CASE("guest-freeze: a FIFREEZE that does not return is abandoned, and thawed when it does") {
    World world;
    StuckWriter stuck{world.one.point()};
    FreezeRun run = FreezeRun::start(plan_below(world.folder.path()), world.waiter).value();
    const Status frozen = run.freeze({.freeze = 400ms, .hold = 5s}, world.waiter);
    REQUIRE(!frozen);
    CHECK(frozen.error().id == "freeze.timeout");
    CHECK(frozen.error().text.find(world.one.point().string()) != std::string::npos);
    const Writer other{world.two.point()};
    const ThawReport report = run.thaw(world.waiter);
    CHECK(!report.held);
    CHECK(report.thawed - report.thaw < 2s);
    CHECK(other.done_within(slack));
    CHECK(run.stuck() == std::vector<std::string>{world.one.point()});
    CHECK(report.evidence[0].note == "its freeze does not return");
    const Writer blocked{world.one.point()};
    CHECK(!blocked.done_within(a_moment));  // the kernel lets nobody in while it waits
    // The killed freezer completes its freeze now: the rescuer is still there.
    stuck.release();
    CHECK(blocked.done_within(slack));
    CHECK(eventually(slack, [&] { return run.stuck().empty(); }));
    { const FreezeRun ended = std::move(run); }
    CHECK(world.no_process_left());
}

TEST_CASE("guest-freeze: so it is when the agent dies meanwhile") {
    World world;
    StuckWriter stuck{world.one.point()};
    {
        FreezeRun run = FreezeRun::start(plan_below(world.folder.path()), world.waiter).value();
        CHECK(!run.freeze({.freeze = 300ms, .hold = 5s}, world.waiter));
    }
    CHECK(Writer{world.two.point()}.done_within(slack));
    stuck.release();
    CHECK(Writer{world.one.point()}.done_within(slack));
    CHECK(world.no_process_left());
}

TEST_CASE("guest-freeze: an agent destroyed while frozen leaves nothing frozen") {
    World world;
    { const FreezeRun run = world.frozen(); }
    CHECK(world.writable_within(slack));
    CHECK(world.no_process_left());
}

TEST_CASE("guest-freeze: a cancel in the window's making leaves the thaw to do") {
    World world;
    class Cancelling final : public os::Waiter {
    public:
        os::WaitEnd wait(std::span<pollfd> watched, Nanoseconds until) override {
            return cancel ? os::WaitEnd::cancelled : plain_.wait(watched, until);
        }
        bool cancel = false;

    private:
        os::PlainWaiter plain_;
    } waiter;
    FreezeRun run = FreezeRun::start(plan_below(world.folder.path()), waiter).value();
    waiter.cancel = true;
    const Status frozen = run.freeze({}, waiter);
    REQUIRE(!frozen);
    CHECK(frozen.error().code == Errc::cancelled);
    CHECK(!run.thaw(waiter).held);
    CHECK(run.stuck().empty());
    CHECK(world.writable_within(slack));
}
