#include "env/blocking_calls.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <future>

using namespace stillpoint;
using namespace std::chrono_literals;
using env::BlockingCalls;

namespace {

std::unique_ptr<BlockingCalls> calls(const BlockingCalls::Options& options = {},
                                     const env::CancelToken& cancel = {}) {
    auto made = BlockingCalls::create(options, cancel);
    REQUIRE(made);
    return std::move(*made);
}

/// A call that hangs until the gate is opened.
struct Gate {
    std::promise<void> open;
    std::shared_future<void> opened = open.get_future().share();
    std::function<int()> call() {
        return [opened = opened] {
            opened.wait();
            return 1;
        };
    }
};

}  // namespace

TEST_CASE("env/blocking_calls: an answer comes back") {
    CHECK(calls()->run<int>([] { return 42; }, 10s) == 42);
    CHECK(calls()->run<std::string>([] { return std::string("x"); }, 10s) == "x");
}

TEST_CASE("env/blocking_calls: one that hangs is given up, and others work on") {
    Gate gate;
    {
        const auto side = calls({.threads = 2});
        CHECK_FALSE(side->run<int>(gate.call(), 20ms));
        CHECK(side->run<int>([] { return 7; }, 10s) == 7);
    }  // the destructor leaves the thread alone
    gate.open.set_value();
}

TEST_CASE("env/blocking_calls: when all hang, the next waits no longer than its limit") {
    Gate gate;
    const auto side = calls({.threads = 1});
    CHECK_FALSE(side->run<int>(gate.call(), 10ms));
    CHECK_FALSE(side->run<int>([] { return 7; }, 10ms));
    gate.open.set_value();
}

TEST_CASE("env/blocking_calls: a wish to stop shortens the wait") {
    Gate gate;
    env::CancelToken cancel;
    const auto side = calls({.threads = 1, .cancel_grace = 10ms}, cancel);
    std::thread wish{[&] { cancel.cancel(); }};
    CHECK_FALSE(side->run<int>(gate.call(), 1h));
    wish.join();
    gate.open.set_value();
    CHECK(side->run<int>([] { return 7; }, 1h) == 7);  // what answers at once still does
}

TEST_CASE("env/blocking_calls: its threads hold none of the process's descriptors") {
    const env::UniqueFd mine{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const auto side = calls();
    const int fd = mine.get();
    CHECK(side->run<bool>([fd] { return ::fcntl(fd, F_GETFD) >= 0; }, 10s) == false);
    CHECK(side->run<bool>([] { return ::fcntl(2, F_GETFD) >= 0; }, 10s) == true);
    CHECK(::fcntl(fd, F_GETFD) >= 0);
    // Nor those that were opened later.
    const env::UniqueFd later{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const int second = later.get();
    CHECK(side->run<bool>([second] { return ::fcntl(second, F_GETFD) >= 0; }, 10s) == false);
}
