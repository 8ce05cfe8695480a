#include "env/cancel.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace stillpoint::env {

struct CancelToken::State {
    std::atomic<bool> cancelled{false};
    UniqueFd event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

CancelToken::CancelToken() : state_(std::make_shared<State>()) {}

void CancelToken::cancel() noexcept {
    state_->cancelled.store(true);
    const std::uint64_t one = 1;
    // A failed write means that the counter is already set: the reader wakes either way.
    [[maybe_unused]] const auto written = ::write(state_->event.get(), &one, sizeof one);
}

bool CancelToken::cancelled() const noexcept {
    return state_->cancelled.load();
}

Status CancelToken::check() const {
    if (!cancelled()) return {};
    return fail(Errc::cancelled, "job.cancelled", "cancelled on request");
}

int CancelToken::poll_fd() const noexcept {
    return state_->event.get();
}

}  // namespace stillpoint::env
