#include <doctest/doctest.h>
#include <windows.h>

#include "hooks/hook_runner.hpp"
#include "os/data_folder.hpp"
#include "os/trusted_path.hpp"
#include "system_world.hpp"

namespace stillpoint::test {
namespace {

using namespace windows_guest;
using namespace hooks;
using namespace std::chrono_literals;

struct Runner {
    Runner() : system({folder.path() + "\\state", os::trust_of_process(), places, {}}) {
        hook.name = "10-a";
        hook.folder = folder.path();
        program = folder.put_helper("helper.exe");
        REQUIRE(system.begin(hook));
    }
    HookResult run(const std::string& command, std::vector<std::string> arguments = {},
                   Nanoseconds timeout = 30s) {
        HookCommand told;
        told.command = command;
        told.arguments = std::move(arguments);
        return system.execute({hook, told, HookPhase::pre, "job-1", {}, timeout, commit},
                              cancelled);
    }
    HookResult helper(std::vector<std::string> arguments, Nanoseconds timeout = 30s) {
        return run(program, std::move(arguments), timeout);
    }
    SystemFolder folder;
    SystemPlaces places{os::windows_folder()};
    Hook hook;
    std::string program;
    SystemHooks system;
    Cancellation cancelled;
    std::function<Status()> commit;
};

}  // namespace

TEST_CASE("windows/system-hook: a program: its arguments, exit code and output") {
    Runner runner;
    const HookResult good = runner.helper({"arguments", "a b", R"(c"d)", R"(e\)", "%PATH% & ^"});
    CHECK(good.succeeded());
    CHECK(good.output == R"([a b][c"d][e\][%PATH% & ^])");
    CHECK(good.duration > 0ns);
    const HookResult bad = runner.helper({"exit", "7"});
    CHECK(bad.end == HookEnd::exited);
    CHECK(bad.status == 7);
    CHECK(bad.note() == "exit code 7: last words");
    const HookResult much = runner.helper({"much"});
    CHECK(much.succeeded());
    CHECK(much.output.size() == hook_output_bytes_max);
    CHECK(much.output.ends_with("the end"));
}

TEST_CASE("windows/system-hook: a .cmd: its arguments, exit code, output and folder") {
    Runner runner;
    const std::string script = runner.folder.write(
        "a b.cmd", "@echo [%1] [%2]\r\n@cd\r\n@echo it broke>&2\r\n@exit /b 5\r\n");
    const HookResult done = runner.run(script, {"x & y", "a^b"});
    CHECK(done.end == HookEnd::exited);
    CHECK(done.status == 5);
    CHECK(done.output.find(R"(["x & y"] ["a^b"])") != std::string::npos);
    CHECK(done.output.find(os::windows_folder()) != std::string::npos);
    CHECK(done.note() == "exit code 5: it broke");
    // Its console's host may live a little longer: it holds nothing.
    const std::string good = runner.folder.write("good.cmd", "@exit /b 0\r\n");
    for (int i = 0; i < 10; ++i) {
        CHECK(runner.run(good).succeeded());
        CHECK(!runner.system.running(runner.hook, HookPhase::pre));
    }
}

TEST_CASE("windows/system-hook: the environment is made for it") {
    Runner runner;
    ::SetEnvironmentVariableW(L"STILLPOINT_SECRET", L"x");
    CHECK(runner.helper({"variable", "STILLPOINT_SECRET"}).output == "(absent)");
    CHECK(runner.helper({"variable", "STILLPOINT_PHASE"}).output == "pre");
    CHECK(runner.helper({"variable", "STILLPOINT_JOB"}).output == "job-1");
    CHECK(runner.helper({"variable", "STILLPOINT_HOOK_DIR"}).output == runner.folder.path());
    CHECK(runner.helper({"variable", "STILLPOINT_STATE_DIR"}).output ==
          runner.folder.path() + "\\state\\10-a");
    runner.hook.environment = {{"MINE", "1 2"}};
    CHECK(runner.helper({"variable", "MINE"}).output == "1 2");
}

TEST_CASE("windows/system-hook: at its timeout everything it has started is killed") {
    Runner runner;
    const HookResult late = runner.helper({"grandchildren"}, 2s);
    CHECK(late.end == HookEnd::timed_out);
    CHECK(late.note().starts_with("killed at its timeout"));
    CHECK(!runner.system.running(runner.hook, HookPhase::pre));
}

TEST_CASE("windows/system-hook: a cancel kills it at once, and keeps the next from running long") {
    Runner runner;
    runner.cancelled.ask();
    CHECK(runner.helper({"hang"}).end == HookEnd::cancelled);
    CHECK(runner.helper({"hang"}).end == HookEnd::cancelled);
    runner.cancelled.take_back();
    CHECK(runner.helper({"exit", "0"}).succeeded());
}

TEST_CASE("windows/system-hook: what a pre leaves running lives until its end, also detached") {
    Runner runner;
    const HookResult left = runner.helper({"leave"});
    REQUIRE(left.succeeded());
    CHECK(runner.system.running(runner.hook, HookPhase::pre));
    const os::Handle process{::OpenProcess(SYNCHRONIZE, FALSE, std::stoul(left.output))};
    REQUIRE(process.valid());
    CHECK(::WaitForSingleObject(process.get(), 0) == WAIT_TIMEOUT);
    runner.system.end(runner.hook);
    CHECK(::WaitForSingleObject(process.get(), 10'000) == WAIT_OBJECT_0);
    CHECK(!runner.system.running(runner.hook, HookPhase::pre));
}

TEST_CASE("windows/system-hook: the commit is done before it runs, or nothing does") {
    Runner runner;
    int commits = 0;
    runner.commit = [&]() -> Status {
        ++commits;
        return {};
    };
    CHECK(runner.helper({"exit", "0"}).succeeded());
    CHECK(commits == 1);
    runner.commit = []() -> Status { return fail(Errc::io, "test.full", "the disk is full"); };
    const HookResult refused = runner.helper({"hang"});
    CHECK(refused.end == HookEnd::not_started);
    CHECK(refused.note() == "not started: the disk is full");
    CHECK(!runner.system.running(runner.hook, HookPhase::pre));
}

TEST_CASE("windows/system-hook: what others could have written does not run") {
    Runner runner;
    SystemFolder::let_everybody(runner.program, FILE_ALL_ACCESS);
    const HookResult refused = runner.helper({"exit", "0"});
    CHECK(refused.end == HookEnd::not_started);
    CHECK(refused.output.find("helper.exe can be written by") != std::string::npos);
    const std::string script = runner.folder.write("b.cmd", "@exit /b 0");
    CHECK(runner.run(script).succeeded());
    SystemFolder::let_everybody(runner.folder.path(), FILE_ALL_ACCESS);
    CHECK(runner.run(script).end == HookEnd::not_started);
    CHECK(runner.run(runner.folder.path() + "\\none.cmd").end == HookEnd::not_started);
}

}  // namespace stillpoint::test
