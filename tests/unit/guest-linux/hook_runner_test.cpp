#include "hooks/hook_runner.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "os/fd.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// Where a hook's processes are kept together; what a machine has not got falls back to descent.
enum class Pens { best, version_1, descent };
constexpr std::array all_pens{Pens::best, Pens::version_1, Pens::descent};

struct Scripts {
    explicit Scripts(Pens kept = Pens::best)
        : folder(make_folder()),
          pens(kept),
          system(places(), kept == Pens::descent ? Groups::never : Groups::where_possible) {
        hook.name = "10-test";
        hook.folder = folder;
        REQUIRE(system.begin(hook));
    }
    using Groups = SystemHooks::Groups;
    [[nodiscard]] SystemHooks::Places places() const {
        SystemHooks::Places places{folder / "state", folder.filename(), {::geteuid(), folder}, {}};
        if (pens != Pens::version_1) return places;
        places.cgroups = {folder / "mountinfo", os::CgroupPlaces::Unmounted::ignored};
        std::ifstream all{"/proc/self/mountinfo"};
        std::ofstream kept{places.cgroups.mountinfo};
        for (std::string line; std::getline(all, line);) {
            if (line.find(" - cgroup ") != std::string::npos) kept << line << '\n';
        }
        return places;
    }
    /// What is left of our control groups, in every hierarchy.
    [[nodiscard]] std::vector<fs::path> groups_left() const {
        std::vector<fs::path> left;
        std::ifstream all{"/proc/self/mountinfo"};
        for (std::string line; std::getline(all, line);) {
            if (line.find(" - cgroup") == std::string::npos) continue;
            std::istringstream words{line};
            std::string path;
            for (int i = 0; i < 5; ++i) words >> path;
            if (fs::exists(path / folder.filename())) left.push_back(path / folder.filename());
        }
        return left;
    }
    static fs::path make_folder() {
        std::string name = fs::temp_directory_path() / "stillpoint-hook-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        return name;
    }
    Scripts(const Scripts&) = delete;
    Scripts& operator=(const Scripts&) = delete;
    ~Scripts() {
        system.end(hook);
        fs::remove_all(folder);
    }

    HookCommand script(const std::string& body, os::Nanoseconds timeout = 20s) {
        const fs::path path = folder / ("hook" + std::to_string(++count));
        std::ofstream{path} << "#!/bin/sh\n" << body << "\n";
        fs::permissions(path, fs::perms::owner_all);
        HookCommand command;
        command.command = path;
        command.timeout = timeout;
        return command;
    }
    std::string read(const char* name) const {
        return os::read_file(folder / name, 1u << 20).value_or("");
    }
    HookResult run(const HookCommand& command, const std::string& job = "job") {
        return run_with(command, job, waiter);
    }
    HookResult run_with(const HookCommand& command, const std::string& job, os::Waiter& with) {
        return system.execute({hook, command, HookPhase::pre, job, "success", command.timeout},
                              with);
    }

    fs::path folder;
    Pens pens;
    Hook hook;
    SystemHooks system;
    os::PlainWaiter waiter;
    int count = 0;
};

bool gone(pid_t pid) {
    for (int i = 0; i < 400; ++i) {
        const auto stat = os::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
        if (!stat || stat->find(") Z ") != std::string::npos) return true;
        ::poll(nullptr, 0, 5);
    }
    return false;
}

class Cancelling final : public os::Waiter {
public:
    os::WaitEnd wait(std::span<pollfd>, os::Nanoseconds) override { return os::WaitEnd::cancelled; }
};

}  // namespace

TEST_CASE("guest-linux/hook: success, exit codes and signals are told apart") {
    Scripts scripts;
    const HookResult good = scripts.run(scripts.script("echo fine; exit 0"));
    CHECK(good.succeeded());
    CHECK(good.output == "fine\n");
    CHECK(good.duration > 0ns);
    const HookCommand failing = scripts.script("echo first; echo it broke >&2; exit 7");
    const HookResult bad = scripts.run(failing);
    CHECK(bad.end == HookEnd::exited);
    CHECK(bad.status == 7);
    CHECK(bad.note() == "exit code 7: it broke");
    const HookResult killed = scripts.run(scripts.script("kill -TERM $$"));
    CHECK(killed.end == HookEnd::signalled);
    CHECK(killed.note() == "killed by signal 15");
}

TEST_CASE("guest-linux/hook: what cannot be executed says why") {
    Scripts scripts;
    const HookResult missing = scripts.run({scripts.folder / "none", {}, 5s, {}});
    CHECK(missing.end == HookEnd::not_started);
    CHECK(missing.note().find("No such file") != std::string::npos);
    CHECK(missing.note().starts_with("not started: open "));
    HookCommand plain = scripts.script("exit 0");
    fs::permissions(plain.command, fs::perms::owner_read);
    CHECK(scripts.run(plain).note().find("Permission denied") != std::string::npos);
}

TEST_CASE("guest-linux/hook: clean environment, no input, own session, arguments as they are") {
    Scripts scripts;
    ::setenv("STILLPOINT_LEAK", "secret", 1);
    const std::string out = scripts.folder / "seen";
    HookCommand hook = scripts.script(
        "{ env; pwd; cat; ps -o sid= -p $$; echo $$; echo \"$1|$2\"; "
        "ls /proc/$$/fd; } >" +
        out);
    hook.arguments = {"a b", "$(touch x)"};
    const os::UniqueFd leaked{::dup(0)};  // not close-on-exec
    REQUIRE(scripts.run(hook, "job-1").succeeded());
    const std::string seen = scripts.read("seen");
    CAPTURE(seen);
    CHECK(seen.find("secret") == std::string::npos);
    CHECK(seen.find("STILLPOINT_PHASE=pre\n") != std::string::npos);
    CHECK(seen.find("STILLPOINT_JOB=job-1\n") != std::string::npos);
    CHECK(seen.find("STILLPOINT_RESULT=success\n") != std::string::npos);
    CHECK(seen.find("\n/\n") != std::string::npos);
    CHECK(seen.find("a b|$(touch x)\n") != std::string::npos);
    CHECK(seen.find("STILLPOINT_HOOK_DIR=" + scripts.folder.string() + "\n") != std::string::npos);
    CHECK(seen.find("STILLPOINT_STATE_DIR=" + (scripts.folder / "state/10-test").string()) !=
          std::string::npos);
    CHECK(seen.find("\n" + std::to_string(leaked.get()) + "\n") == std::string::npos);
    REQUIRE(scripts.run(hook, "bad;id").succeeded());
    CHECK(scripts.read("seen").find("STILLPOINT_JOB") == std::string::npos);
}

TEST_CASE("guest-linux/hook: at the timeout everything it started dies, however it got away") {
    for (const Pens pens : all_pens) {
        CAPTURE(static_cast<int>(pens));
        Scripts scripts{pens};
        const std::string pids = scripts.folder / "pids";
        const HookResult late = scripts.run(
            scripts.script("trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 60 & echo $! $$ >>" +
                               pids + "; wait' & (setsid sh -c 'echo $$ >>" + pids +
                               "; exec sleep 61' &) ; while [ $(wc -l <" + pids +
                               ") -lt 2 ]; do :; done; sleep 60",
                           1s));
        CHECK(late.end == HookEnd::timed_out);
        CHECK(late.duration >= 1s);
        CHECK(late.duration < 8s);
        std::ifstream lines{pids};
        int seen = 0;
        for (pid_t pid = 0; lines >> pid; ++seen) CHECK(gone(pid));
        CHECK(seen == 3);
        CHECK(!scripts.system.running(scripts.hook, HookPhase::pre));
    }
}

TEST_CASE("guest-linux/hook: what a failed try leaves running dies before the next") {
    for (const Pens pens : all_pens) {
        Scripts scripts{pens};
        const std::string pids = scripts.folder / "pids";
        CHECK(
            scripts.run(scripts.script("setsid sleep 60 & echo $! >" + pids + "; exit 3")).status ==
            3);
        pid_t pid = 0;
        std::ifstream{pids} >> pid;
        REQUIRE(pid > 0);
        CHECK(gone(pid));
    }
}

TEST_CASE("guest-linux/hook: a pre's helper outlives a failed post and dies with the hook's end") {
    for (const Pens pens : all_pens) {
        CAPTURE(static_cast<int>(pens));
        Scripts scripts{pens};
        const std::string pids = scripts.folder / "pids";
        CHECK(scripts.run(scripts.script("setsid sleep 60 & echo $! >" + pids)).succeeded());
        pid_t helper = 0;
        std::ifstream{pids} >> helper;
        REQUIRE(helper > 0);
        const HookCommand post = scripts.script("sleep 60 & exit 1");
        scripts.system.execute({scripts.hook, post, HookPhase::post, {}, {}, 20s}, scripts.waiter);
        CHECK(::kill(helper, 0) == 0);
        CHECK(scripts.system.running(scripts.hook, HookPhase::pre));
        CHECK(!scripts.system.running(scripts.hook, HookPhase::post));
        scripts.system.end(scripts.hook);
        CHECK(gone(helper));
        CHECK(!fs::exists(scripts.folder / "state/10-test"));
    }
}

TEST_CASE("guest-linux/hook: a later life of the program finds what an earlier one left") {
    for (const Pens pens : all_pens) {
        Scripts scripts{pens};
        const std::string pids = scripts.folder / "pids";
        CHECK(scripts.run(scripts.script("setsid sleep 60 & echo $! >" + pids)).succeeded());
        pid_t helper = 0;
        std::ifstream{pids} >> helper;
        SystemHooks later{scripts.places(), pens == Pens::descent
                                                ? SystemHooks::Groups::never
                                                : SystemHooks::Groups::where_possible};
        CHECK(later.running(scripts.hook, HookPhase::pre));
        later.kill(scripts.hook, HookPhase::pre);
        CHECK(gone(helper));
    }
}

TEST_CASE("guest-linux/hook: no control group outlives the hook it was made for") {
    for (const Pens pens : all_pens) {
        CAPTURE(static_cast<int>(pens));
        Scripts scripts{pens};
        CHECK(scripts.groups_left().empty());
        CHECK(scripts.run(scripts.script("setsid sleep 60 &")).succeeded());
        CHECK(scripts.system.running(scripts.hook, HookPhase::pre));
        scripts.system.end(scripts.hook);
        CHECK(scripts.groups_left().empty());
    }
}

TEST_CASE("guest-linux/hook: who drops the last control group is in nobody's way") {
    const Scripts scripts;
    const auto turn = [&](const std::string& name) {
        const auto root = os::CgroupRoot::find(scripts.folder.filename());
        if (root.version() == os::CgroupRoot::Version::none) return true;
        for (int round = 0; round < 500; ++round) {
            if (!os::Cgroup::open(root, name)) return false;
            root.drop(name);
        }
        return true;
    };
    std::vector<pid_t> others;
    for (const char* name : {"one", "two", "three"}) {
        others.push_back(::fork());
        REQUIRE(others.back() >= 0);
        if (others.back() == 0) ::_exit(turn(name) ? 0 : 1);
    }
    for (const pid_t other : others) {
        int status = -1;
        REQUIRE(::waitpid(other, &status, 0) == other);
        CHECK(status == 0);
    }
    CHECK(scripts.groups_left().empty());
}

TEST_CASE("guest-linux/hook: the commit is done before it is executed, or nothing is") {
    Scripts scripts;
    const std::string mark = scripts.folder / "mark";
    const HookCommand hook = scripts.script("test -e " + mark);
    HookOrder order{scripts.hook, hook, HookPhase::pre, {}, {}, 20s, [&]() -> Status {
                        std::ofstream{mark};
                        return {};
                    }};
    CHECK(scripts.system.execute(order, scripts.waiter).succeeded());
    order.commit = []() -> Status { return fail(Errc::io, "test.full", "the disk is full"); };
    const HookResult refused = scripts.system.execute(order, scripts.waiter);
    CHECK(refused.end == HookEnd::not_started);
    CHECK(refused.note() == "not started: the disk is full");
}

TEST_CASE("guest-linux/hook: a cancel kills it at once") {
    Scripts scripts;
    Cancelling cancelled;
    const HookResult result = scripts.run_with(scripts.script("sleep 60"), "job", cancelled);
    CHECK(result.end == HookEnd::cancelled);
    CHECK(result.duration < 5s);
}

TEST_CASE("guest-linux/hook: much output is drained and its end kept") {
    Scripts scripts;
    const HookResult result =
        scripts.run(scripts.script("head -c 5000000 /dev/zero | tr '\\0' x; "
                                   "head -c 5000000 /dev/zero | tr '\\0' y >&2; echo the end"));
    CHECK(result.succeeded());
    CHECK(result.output.size() == hook_output_bytes_max);
    CHECK(result.output.ends_with("yyythe end\n"));
}

TEST_CASE("guest-linux/hook: endless output does not hide the timeout") {
    Scripts scripts;
    CHECK(scripts.run(scripts.script("exec cat /dev/zero", 1s)).end == HookEnd::timed_out);
}

TEST_CASE("guest-linux/hook: a helper that keeps the output open keeps nobody waiting") {
    Scripts scripts;
    const HookResult result = scripts.run(scripts.script("sleep 60 & exit 0"));
    CHECK(result.succeeded());
    CHECK(result.duration < 20s);
}

TEST_CASE("guest-linux/hook: it runs as the user it names, with that user's groups") {
    if (::geteuid() != 0) return;  // only root can become another
    Scripts scripts;
    fs::permissions(scripts.folder, fs::perms(0755));
    HookCommand hook = scripts.script("id -un; echo here >$STILLPOINT_STATE_DIR/note");
    fs::permissions(hook.command, fs::perms(0755));
    hook.user = "nobody";
    scripts.hook.pre.user = "nobody";
    REQUIRE(scripts.system.begin(scripts.hook));
    fs::permissions(scripts.folder / "state", fs::perms(0755));
    const HookResult result = scripts.run(hook);
    CHECK(result.succeeded());
    CHECK(result.output == "nobody\n");
    hook.user = "nobody-of-that-name";
    CHECK(scripts.run(hook).note().find("no user nobody-of-that-name") != std::string::npos);
}
