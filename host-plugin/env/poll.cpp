#include "env/poll.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace stillpoint::env {

Result<bool> wait_any(std::span<pollfd> polls, const Deadline& deadline) {
    while (true) {
        const int ready = ::poll(polls.data(), polls.size(), deadline.poll_ms());
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return fail(os_error("wait for an event", errno));
        for (pollfd& entry : polls) entry.revents = 0;
        if (deadline.passed()) return false;
    }
}

Status pause(Nanoseconds how_long, const CancelToken& cancel) {
    pollfd wish{cancel.poll_fd(), POLLIN, 0};
    const SystemClock clock;
    SP_TRY(wait_any({&wish, 1}, Deadline{clock, how_long}));
    return cancel.check();
}

Result<Doorbell> Doorbell::create() {
    UniqueFd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!event.valid()) return fail(os_error("create an event", errno));
    return Doorbell{std::move(event)};
}

void Doorbell::ring() const noexcept {
    const std::uint64_t one = 1;
    // A failed write means that the counter is already set: the waiter wakes either way.
    [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
}

void Doorbell::clear() const noexcept {
    std::uint64_t count = 0;
    // A failed read means that nobody rang.
    [[maybe_unused]] const auto got = ::read(event_.get(), &count, sizeof count);
}

}  // namespace stillpoint::env
