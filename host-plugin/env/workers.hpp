#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.hpp"
#include "env/cancel.hpp"

namespace stillpoint::env {

/// Calls `work` on `count` threads at once and waits for all of them.
/// @param work takes its share itself (a cursor, a queue) and returns early when told to stop
/// @param stop called once, at the first failure, from the thread that failed: makes the others end
/// @return the first failure
inline Status run_workers(unsigned count, const std::function<Status()>& work,
                          const std::function<void()>& stop) {
    std::mutex mutex;
    std::optional<Error> first;  // guarded by the mutex while threads run
    const auto body = [&] {
        const Status status = work();
        if (status) return;
        const std::scoped_lock lock{mutex};
        if (first) return;
        first = status.error();
        stop();
    };
    {
        std::vector<std::jthread> threads;  // joined by their destructors
        for (unsigned at = 0; at + 1 < count; ++at) threads.emplace_back(body);
        body();
    }
    if (first) return fail(*first);
    return {};
}

/// Calls `each` for every number below `count`, on as many threads side by side.
/// @param threads 0 counts as 1, for which no thread is started
/// @errors cancelled · those of `each`; the first one ends the others
inline Status each_at_once(std::size_t count, std::size_t threads, const CancelToken& cancel,
                           const std::function<Status(std::size_t)>& each) {
    std::atomic<std::size_t> next{0};
    const CancelToken stop = cancel.child();
    const auto work = [&]() -> Status {
        for (std::size_t at = next++; at < count; at = next++) {
            SP_TRY(stop.check());
            SP_TRY(each(at));
        }
        return {};
    };
    const std::size_t used = std::min(threads, count);
    if (used <= 1) return work();
    CancelToken stopper = stop;
    return run_workers(static_cast<unsigned>(used), work, [&] { stopper.cancel(); });
}

}  // namespace stillpoint::env
