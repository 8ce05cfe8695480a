#include "env/process.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "env/queue.hpp"

using namespace stillpoint;
using namespace stillpoint::env;
using namespace std::chrono_literals;

namespace {

const SystemClock real_clock;

Result<ProcessOutput> shell(const std::string& script, Nanoseconds budget = 10s,
                            const CancelToken& cancel = {}) {
    return run_process({"sh", "-c", script}, Deadline{real_clock, budget}, cancel);
}

}  // namespace

TEST_CASE("env/process: output, errors and exit code are collected; stdin is empty") {
    const ProcessOutput done = shell("cat; echo out; echo bad >&2; exit 3").value();
    CHECK(done.out == "out\n");
    CHECK(done.errors == "bad\n");
    CHECK(done.exit_code == 3);
    CHECK(shell("kill -9 $$").value().exit_code == 128 + SIGKILL);
}

TEST_CASE("env/process: output beyond 1 MiB is cut, the program still ends") {
    const ProcessOutput done = shell("head -c 3000000 /dev/zero").value();
    CHECK(done.exit_code == 0);
    CHECK(done.out.size() == 1u << 20);
}

TEST_CASE("env/process: a missing program is not_found") {
    const auto missing =
        run_process({"/no/such/program"}, Deadline{real_clock, 10s}, CancelToken{});
    CHECK(missing.error().code == Errc::not_found);
}

TEST_CASE("env/process: a program that does not end is killed, also with its output closed") {
    CHECK(shell("exec sleep 1000", 20ms).error().id == "process.timeout");
    CHECK(shell("exec sleep 1000 >&- 2>&-", 20ms).error().id == "process.timeout");
    CancelToken cancelled;
    cancelled.cancel();
    CHECK(shell("exec sleep 1000", 10s, cancelled).error().code == Errc::cancelled);
    CHECK(shell("exec sleep 1000 >&- 2>&-", 10s, cancelled).error().code == Errc::cancelled);
}

TEST_CASE("env/process: an ignored SIGPIPE is not handed down") {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    struct sigaction before {};
    REQUIRE(::sigaction(SIGPIPE, &ignore, &before) == 0);
    const auto done = shell("(kill -PIPE $$; exit 7); exit 8");
    ::sigaction(SIGPIPE, &before, nullptr);
    CHECK(done.value().exit_code == 128 + SIGPIPE);
}

TEST_CASE("env/process: no descriptor of ours leaks into a child; a chosen one is inherited") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const UniqueFd read_end{ends[0]};
    UniqueFd write_end{ends[1]};
    const std::string number = std::to_string(write_end.get());
    CHECK(shell("[ ! -e /proc/self/fd/" + number + " ]").value().exit_code == 0);
    SpawnOptions options;
    options.arguments = {"sh", "-c", "echo from child >&" + number};
    options.inherit_fd = write_end.get();
    options.new_session = true;
    Child child = Child::spawn(options).value();
    CHECK(child.wait(Deadline{real_clock, 10s}).value() == 0);
    char text[32] = {};
    CHECK(::read(read_end.get(), text, sizeof text) == 11);
}

TEST_CASE("env/process: a watched process is seen to end, and killed by its pidfd") {
    SpawnOptions options;
    options.arguments = {"sleep", "1000"};
    Child child = Child::spawn(options).value();
    const ProcessWatch watch = ProcessWatch::open(child.pid()).value();
    CHECK_FALSE(watch.ended(Deadline{real_clock, 0s}));
    CHECK(child.wait(Deadline{real_clock, 0s}).error().code == Errc::timeout);
    watch.kill(SIGKILL);
    CHECK(watch.ended(Deadline{real_clock, 10s}));
    CHECK(child.wait(Deadline{real_clock, 10s}).value() == 128 + SIGKILL);
}

TEST_CASE("env/process: the destructor kills and reaps") {
    pid_t pid = 0;
    {
        SpawnOptions options;
        options.arguments = {"sleep", "1000"};
        const Child child = Child::spawn(options).value();
        pid = child.pid();
    }
    CHECK(ProcessWatch::open(pid).error().code == Errc::not_found);
}

TEST_CASE("env/queue: bounded, in order, drained after closing; closing wakes both sides") {
    BoundedQueue<int> queue{2};
    std::jthread producer{[&] {
        for (int n = 0; n < 100; ++n) queue.push(n);
        queue.close();
    }};
    int expected = 0;
    while (const auto item = queue.pop()) CHECK(*item == expected++);
    CHECK(expected == 100);
    CHECK_FALSE(queue.push(1));

    BoundedQueue<int> full{1};
    REQUIRE(full.push(1));
    std::jthread blocked{[&] { CHECK_FALSE(full.push(2)); }};
    full.close();
    blocked.join();
    CHECK(full.pop() == 1);
    CHECK_FALSE(full.pop());
}

TEST_CASE("env/process: a helper ends with the thread that started it") {
    pid_t helper = 0;
    std::thread starter{[&] {
        SpawnOptions options;
        options.arguments = {"sleep", "1000"};
        options.ends_with_starter = true;
        auto child = Child::spawn(options).value();
        helper = child.pid();
        child.release();
    }};
    starter.join();
    auto orphan = Child::adopt(helper);
    CHECK(orphan.wait(Deadline{real_clock, 10s}).value() == 128 + SIGTERM);
}

TEST_CASE("env/process: output goes where it is told") {
    const auto folder = TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-out-");
    REQUIRE(folder);
    const Path file = folder->path() / "log";
    const auto log = open_file(file, O_WRONLY | O_CREAT, 0600);
    REQUIRE(log);
    SpawnOptions options;
    options.arguments = {"sh", "-c", "echo one; echo two >&2"};
    options.output_fd = log->get();
    auto child = Child::spawn(options).value();
    REQUIRE(child.wait(Deadline{real_clock, 10s}));
    CHECK(as_text(read_file(file, 100).value()) == "one\ntwo\n");
}

TEST_CASE("env/process: a process is known by number and start time together") {
    SpawnOptions options;
    options.arguments = {"sleep", "1000"};
    auto child = Child::spawn(options).value();
    const auto started = started_at(child.pid());
    REQUIRE(started);
    CHECK(ProcessWatch::open(child.pid(), *started));
    CHECK(ProcessWatch::open(child.pid(), *started + 1).error().code == Errc::not_found);
    const pid_t pid = child.pid();
    child.kill(SIGKILL);
    REQUIRE(child.wait(Deadline{real_clock, 10s}));
    CHECK(started_at(pid).error().code == Errc::not_found);
}
