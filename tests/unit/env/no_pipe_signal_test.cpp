#include "env/no_pipe_signal.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "env/fd.hpp"

using namespace stillpoint::env;

namespace {

/// @return errno of a write to a pipe that nobody reads
int broken_write() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const UniqueFd out{ends[1]};
    ::close(ends[0]);
    return ::write(out.get(), "x", 1) < 0 ? errno : 0;
}

bool is_blocked() {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    return sigismember(&now, SIGPIPE) == 1;
}

}  // namespace

TEST_CASE("env/no_pipe_signal: a broken pipe is an error, here and in threads started meanwhile") {
    REQUIRE_FALSE(is_blocked());
    {
        const NoPipeSignal quiet;
        CHECK(broken_write() == EPIPE);
        int in_thread = 0;
        std::jthread{[&] { in_thread = broken_write(); }}.join();
        CHECK(in_thread == EPIPE);
    }
    // What it took back would have ended us here.
    CHECK_FALSE(is_blocked());
}

TEST_CASE("env/no_pipe_signal: a signal that was waiting before still is") {
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    REQUIRE(broken_write() == EPIPE);
    { const NoPipeSignal quiet; }
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 1);
    constexpr timespec at_once{};
    CHECK(sigtimedwait(&pipe, nullptr, &at_once) == SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
}
