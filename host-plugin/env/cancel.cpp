#include "env/cancel.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>
#include <vector>

namespace stillpoint::env {

struct CancelToken::State {
    std::atomic<bool> cancelled{false};
    UniqueFd event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::mutex mutex;
    std::vector<std::weak_ptr<State>> children;

    void cancel() noexcept {
        cancelled.store(true);
        const std::uint64_t one = 1;
        // A failed write means that the counter is already set: the reader wakes either way.
        [[maybe_unused]] const auto written = ::write(event.get(), &one, sizeof one);
        const std::scoped_lock lock{mutex};
        for (const auto& child : children) {
            if (const auto alive = child.lock()) alive->cancel();
        }
    }
};

CancelToken::CancelToken() : state_(std::make_shared<State>()) {}

void CancelToken::cancel() noexcept {
    state_->cancel();
}

CancelToken CancelToken::child() const {
    CancelToken token;
    const std::scoped_lock lock{state_->mutex};
    std::erase_if(state_->children, [](const auto& child) { return child.expired(); });
    state_->children.push_back(token.state_);
    if (state_->cancelled.load()) token.cancel();
    return token;
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
