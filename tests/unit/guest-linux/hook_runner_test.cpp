#include "hooks/hook_runner.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "os/fd.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct Scripts {
    Scripts() {
        std::string name = fs::temp_directory_path() / "stillpoint-hook-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder = name;
    }
    Scripts(const Scripts&) = delete;
    Scripts& operator=(const Scripts&) = delete;
    ~Scripts() { fs::remove_all(folder); }

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
        Hook hook;
        hook.name = "10-test";
        hook.folder = folder;
        SystemHooks system{folder / "state"};
        REQUIRE(system.begin(hook));
        return system.execute({hook, command, HookPhase::post, job, "success", command.timeout},
                              with);
    }

    fs::path folder;
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
    const HookResult missing = scripts.run({"/nonexistent/hook", {}, 5s, {}});
    CHECK(missing.end == HookEnd::not_started);
    CHECK(missing.note().find("No such file") != std::string::npos);
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
    CHECK(seen.find("STILLPOINT_PHASE=post\n") != std::string::npos);
    CHECK(seen.find("STILLPOINT_JOB=job-1\n") != std::string::npos);
    CHECK(seen.find("STILLPOINT_RESULT=success\n") != std::string::npos);
    CHECK(seen.find("\n/\n") != std::string::npos);
    CHECK(seen.find("a b|$(touch x)\n") != std::string::npos);
    CHECK(seen.find("\n" + std::to_string(leaked.get()) + "\n") == std::string::npos);
    REQUIRE(scripts.run(hook, "bad;id").succeeded());
    CHECK(scripts.read("seen").find("STILLPOINT_JOB") == std::string::npos);
}

TEST_CASE("guest-linux/hook: at the timeout the whole group dies, also who ignores SIGTERM") {
    Scripts scripts;
    const std::string pids = scripts.folder / "pids";
    const HookResult late = scripts.run(
        scripts.script("trap '' TERM; sleep 60 & echo $! $$ >" + pids + "; wait; sleep 60", 300ms));
    CHECK(late.end == HookEnd::timed_out);
    CHECK(late.duration >= 300ms);
    CHECK(late.duration < 5s);
    pid_t child = 0;
    pid_t self = 0;
    std::ifstream{pids} >> child >> self;
    REQUIRE(child > 0);
    CHECK(gone(child));
    CHECK(gone(self));
}

TEST_CASE("guest-linux/hook: a cancel kills it at once") {
    Scripts scripts;
    Cancelling cancelled;
    const HookResult result = scripts.run_with(scripts.script("sleep 60"), "job", cancelled);
    CHECK(result.end == HookEnd::cancelled);
    CHECK(result.duration < 5s);
}

TEST_CASE("guest-linux/hook: endless output is drained and its end kept") {
    Scripts scripts;
    const HookResult result =
        scripts.run(scripts.script("head -c 5000000 /dev/zero | tr '\\0' x; "
                                   "head -c 5000000 /dev/zero | tr '\\0' y >&2; echo the end"));
    CHECK(result.succeeded());
    CHECK(result.output.size() == hook_output_bytes_max);
    CHECK(
        result.output.ends_with("yyy"
                                "the end\n"));
}

TEST_CASE("guest-linux/hook: a helper left running keeps neither the runner nor its life") {
    Scripts scripts;
    const std::string pid_file = scripts.folder / "pid";
    const HookResult result = scripts.run(scripts.script("sleep 60 & echo $! >" + pid_file));
    CHECK(result.succeeded());
    CHECK(result.duration < 20s);
    pid_t helper = 0;
    std::ifstream{pid_file} >> helper;
    REQUIRE(helper > 0);
    CHECK(::kill(helper, 0) == 0);
    ::kill(helper, SIGKILL);
}
