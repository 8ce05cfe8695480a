#include "env/blocking_calls.hpp"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/check.hpp"

namespace stillpoint::env {
namespace {

// What the standard library can add to now without an overflow.
constexpr Nanoseconds wait_max = std::chrono::hours{24};
constexpr unsigned first_own_fd = 3;

// The kernel keeps a table open until its last thread ends. Where it cannot be left the calls work
// all the same; only a death in the middle of a hang closes the sockets late.
void leave_descriptor_table() {
    if (::unshare(CLONE_FILES) != 0) return;
    if (::syscall(SYS_close_range, first_own_fd, ~0u, 0) == 0) return;
    // Kernels before 5.9: what a process of ours can have open is far below this.
    for (int fd = first_own_fd; fd < 4096; ++fd) ::close(fd);
}

}  // namespace

Result<std::unique_ptr<BlockingCalls>> BlockingCalls::create(const Options& options,
                                                             const CancelToken& cancel) {
    SP_ASSIGN(Doorbell bell, Doorbell::create());
    return std::unique_ptr<BlockingCalls>{new BlockingCalls{options, cancel, std::move(bell)}};
}

BlockingCalls::BlockingCalls(const Options& options, CancelToken cancel, Doorbell bell)
    : options_(options),
      cancel_(std::move(cancel)),
      bell_(std::move(bell)),
      state_(std::make_shared<State>()) {
    state_->alive = std::max(options_.threads, 1u);
    for (unsigned n = 0; n < state_->alive; ++n) {
        threads_.emplace_back([state = state_] {
            leave_descriptor_table();
            while (auto call = state->calls.pop()) (*call)();
            const std::scoped_lock lock{state->mutex};
            --state->alive;
            state->changed.notify_all();
        });
    }
    watcher_ = std::jthread{[this] { watch_cancel(); }};
}

void BlockingCalls::watch_cancel() {
    const SystemClock clock;
    std::array<pollfd, 2> polls{pollfd{cancel_.poll_fd(), POLLIN, 0},
                                pollfd{bell_.poll_fd(), POLLIN, 0}};
    while (true) {
        const auto woken = wait_any(polls, Deadline{clock, wait_max});
        if (!woken || polls[1].revents != 0) return;
        if (polls[0].revents == 0) continue;
        const std::scoped_lock lock{state_->mutex};
        state_->cancelled = true;
        for (Waiting* caller : state_->waiting) {
            const std::scoped_lock its{caller->mutex};
            caller->cancelled = true;
            caller->changed.notify_one();
        }
        return;
    }
}

BlockingCalls::~BlockingCalls() {
    bell_.ring();
    state_->calls.close();
    std::unique_lock lock{state_->mutex};
    const bool ended =
        state_->changed.wait_for(lock, close_max, [this] { return state_->alive == 0; });
    lock.unlock();
    for (std::thread& thread : threads_) {
        if (ended) {
            thread.join();
        } else {
            thread.detach();
        }
    }
}

void BlockingCalls::start(std::function<void()> call) {
    SP_CHECK(state_->calls.push(std::move(call)));  // closed by the destructor alone
}

/// @return whether the call has ended
bool BlockingCalls::wait(Waiting& caller, Nanoseconds limit) const {
    {
        const std::scoped_lock lock{state_->mutex};
        const std::scoped_lock its{caller.mutex};
        caller.cancelled = state_->cancelled;
        state_->waiting.insert(&caller);
    }
    const bool done = await(caller, limit);
    const std::scoped_lock lock{state_->mutex};
    state_->waiting.erase(&caller);
    return done;
}

bool BlockingCalls::await(Waiting& caller, Nanoseconds limit) const {
    const auto ends = std::chrono::steady_clock::now() + std::min(limit, wait_max);
    std::unique_lock lock{caller.mutex};
    caller.changed.wait_until(lock, ends, [&] { return caller.done || caller.cancelled; });
    if (caller.done || !caller.cancelled) return caller.done;
    const auto grace = std::chrono::steady_clock::now() + options_.cancel_grace;
    return caller.changed.wait_until(lock, std::min(ends, grace), [&] { return caller.done; });
}

}  // namespace stillpoint::env
