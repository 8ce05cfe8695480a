#pragma once
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "base/result.hpp"

namespace stillpoint::test {

/// Work that fails on one of several threads; on the others it lasts until that thread has ended:
/// whatever the failure tells them, they have been told by then. @threads any
class OneFailure {
public:
    /// @errors io, id "test.broken": for the first thread that is not the one which made this
    Status work() {
        ++calls_;
        if (std::this_thread::get_id() != maker_ && !failed_.exchange(true)) {
            ended_.set_value_at_thread_exit();
            return fail(Errc::io, "test.broken", "no answer");
        }
        if (gave_up_) return {};
        const auto waited = has_ended_.wait_for(std::chrono::seconds{10});
        if (waited != std::future_status::ready) gave_up_ = true;
        return {};
    }
    [[nodiscard]] unsigned calls() const { return calls_; }

private:
    std::thread::id maker_ = std::this_thread::get_id();
    std::atomic<unsigned> calls_{0};
    std::atomic<bool> failed_{false}, gave_up_{false};
    std::promise<void> ended_;
    std::shared_future<void> has_ended_ = ended_.get_future().share();
};

}  // namespace stillpoint::test
