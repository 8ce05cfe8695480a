#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.hpp"

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

}  // namespace stillpoint::env
