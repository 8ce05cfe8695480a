#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "freeze/freeze_engine.hpp"
#include "freeze/freeze_recovery.hpp"
#include "support.hpp"
#include "support/instrumented.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace stillpoint::test;
using namespace std::chrono_literals;

namespace {

/// Two filesystems and a folder in memory, as /run is.
struct Machine {
    TempFolder folder;
    LoopFs one{folder.path(), "one", "ext4"};
    LoopFs two{folder.path(), "two", "xfs"};
    FreezePlaces places{folder.path() / "run", folder.path() / "cloud"};
    os::PlainWaiter waiter;

    Machine() {
        fs::create_directories(places.folder);
        REQUIRE(shell("mount -t tmpfs run " + places.folder));
    }
    ~Machine() { shell("umount " + places.folder); }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    /// An agent that freezes and then does nothing more. @return its pid, once frozen
    pid_t agent() {
        os::FdPair ready = os::make_pipe().value();
        const pid_t pid = ::fork();
        if (pid == 0) {
            const FreezeLock lock = FreezeLock::take(places, waiter).value();
            const FreezeSurvival survival{lock.fd(), places.state_file(), -1};
            FreezeRun run = FreezeRun::start(plan_below(folder.path()), waiter, survival).value();
            const bool frozen = run.freeze({.freeze = 5s, .hold = 30s}, waiter).has_value();
            const char byte = frozen ? 'f' : 'n';
            if (::write(ready.second.get(), &byte, 1) != 1) ::_exit(1);
            for (;;) ::pause();
        }
        char byte = 0;
        REQUIRE(::read(ready.first.get(), &byte, 1) == 1);
        REQUIRE(byte == 'f');
        return pid;
    }
    /// Nobody is left who could thaw.
    static void kill_all(pid_t agent) {
        const pid_t watchdog = processes_named("sp-watchdog", agent).at(0);
        ::kill(agent, SIGSTOP);
        ::kill(watchdog, SIGSTOP);
        for (const char* name : {"sp-rescuer", "sp-freezer"}) {
            for (const pid_t pid : processes_named(name, agent)) ::kill(pid, SIGKILL);
        }
        ::kill(watchdog, SIGKILL);
        ::kill(agent, SIGKILL);
        ::waitpid(agent, nullptr, 0);
    }
};

}  // namespace

TEST_CASE("guest-freeze: a new agent thaws what its predecessor left frozen, and nothing else") {
    Machine machine;
    const LoopFs foreign{machine.folder.path(), "foreign", "ext4"};
    REQUIRE(foreign.foreign_freeze() == 0);
    const pid_t agent = machine.agent();
    Machine::kill_all(agent);
    CHECK(machine.one.foreign_freeze() == EBUSY);  // frozen for good, without help
    CHECK(machine.two.foreign_freeze() == EBUSY);
    const Recovered found = recover_frozen(machine.places, machine.waiter);
    CHECK(found.problems.empty());
    CHECK(found.thawed.size() == 2);
    CHECK(Writer{machine.one.point()}.done_within(slack));
    CHECK(Writer{machine.two.point()}.done_within(slack));
    CHECK(foreign.foreign_freeze() == EBUSY);
    CHECK(!fs::exists(machine.places.state_file()));
    CHECK(recover_frozen(machine.places, machine.waiter).thawed.empty());
}

TEST_CASE("guest-freeze: a new agent waits for the rescuers of the old one") {
    Machine machine;
    const pid_t agent = machine.agent();
    ::kill(agent, SIGKILL);
    ::waitpid(agent, nullptr, 0);
    const Recovered found = recover_frozen(machine.places, machine.waiter);
    CHECK(found.problems.empty());
    CHECK(found.thawed.empty());  // they have done it
    CHECK(Writer{machine.one.point()}.done_within(slack));
}

TEST_CASE("guest-freeze: a state file that is torn or of another release thaws nothing") {
    Machine machine;
    for (const std::string& text : {std::string("x"), std::string(5000, 'y')}) {
        os::UniqueFd file{::open(machine.places.state_file().c_str(), O_WRONLY | O_CREAT, 0600)};
        REQUIRE(::write(file.get(), text.data(), text.size()) > 0);
        const Recovered found = recover_frozen(machine.places, machine.waiter);
        CHECK(found.thawed.empty());
        CHECK(found.problems.size() == 1);
    }
}

TEST_CASE("guest-freeze: one freezer at a time, until its last process has ended") {
    Machine machine;
    const pid_t agent = machine.agent();
    const auto busy = FreezeLock::take(machine.places, machine.waiter, 100ms);
    REQUIRE(!busy);
    CHECK(busy.error().id == "freeze.locked");
    CHECK(busy.error().code == Errc::busy);
    ::kill(agent, SIGKILL);
    ::waitpid(agent, nullptr, 0);
    CHECK(FreezeLock::take(machine.places, machine.waiter, 3s));
    CHECK(Writer{machine.one.point()}.done_within(slack));
}

TEST_CASE("guest-freeze: the cloud's lock is honoured where its folder exists") {
    Machine machine;
    CHECK(FreezeLock::take(machine.places, machine.waiter, 100ms));
    CHECK(!fs::exists(machine.places.cloud_file()));
    fs::create_directories(machine.places.cloud_folder);
    os::FdPair ready = os::make_pipe().value();
    const pid_t other = ::fork();
    if (other == 0) {
        const os::UniqueFd file{
            ::open(machine.places.cloud_file().c_str(), O_RDWR | O_CREAT, 0600)};
        const char done = ::lockf(file.get(), F_TLOCK, 0) == 0 ? 'y' : 'n';
        if (::write(ready.second.get(), &done, 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    char done = 0;
    REQUIRE(::read(ready.first.get(), &done, 1) == 1);
    CHECK(done == 'y');
    const auto busy = FreezeLock::take(machine.places, machine.waiter, 100ms);
    REQUIRE(!busy);
    CHECK(busy.error().text.find("SafeFreezeLockFile") != std::string::npos);
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
    CHECK(FreezeLock::take(machine.places, machine.waiter, 1s));
}

TEST_CASE("guest-freeze: the agent is hardened while frozen, and as before afterwards") {
    const auto score = [] { return os::read_file("/proc/self/oom_score_adj", 64).value(); };
    const auto locked = [] {
        const std::string status = os::read_file("/proc/self/status", 1u << 16).value();
        return status.find("VmLck:\t       0 kB") == std::string::npos;
    };
    const std::string before = score();
    {
        const os::HardenedScope hardened;
        // Where the capability is missing it stays as it was.
        CHECK((score() == "-1000\n" || score() == before));
        CHECK((locked() || instrumented));  // a sanitizer's mlockall does nothing
    }
    CHECK(score() == before);
    CHECK(!locked());
}
