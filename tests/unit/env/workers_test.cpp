#include "env/workers.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

using namespace stillpoint;

TEST_CASE("env/workers: each number once, whatever the threads are") {
    for (const std::size_t threads : {0u, 1u, 3u, 100u}) {
        CAPTURE(threads);
        std::vector<std::atomic<int>> seen(17);
        const Status done = env::each_at_once(seen.size(), threads, {}, [&](std::size_t at) {
            ++seen[at];
            return Status{};
        });
        CHECK(done);
        for (const auto& times : seen) CHECK(times == 1);
    }
    CHECK(env::each_at_once(0, 4, {}, [](std::size_t) -> Status {
        return fail(Errc::io, "test.called", "nothing is to be done");
    }));
}

TEST_CASE("env/workers: one thread is the caller's, several are side by side") {
    const auto caller = std::this_thread::get_id();
    std::thread::id used;
    CHECK(env::each_at_once(1, 8, {}, [&](std::size_t) {
        used = std::this_thread::get_id();
        return Status{};
    }));
    CHECK(used == caller);
    std::barrier all{4};  // would never open for fewer
    CHECK(env::each_at_once(4, 4, {}, [&](std::size_t) {
        all.arrive_and_wait();
        return Status{};
    }));
}

TEST_CASE("env/workers: the first failure ends the others, and so does a wish to stop") {
    const Status failed = env::each_at_once(1000, 2, {}, [&](std::size_t at) -> Status {
        if (at == 3) return fail(Errc::io, "test.third", "it fails");
        return {};
    });
    REQUIRE_FALSE(failed);
    CHECK(failed.error().id == "test.third");
    env::CancelToken cancel;
    cancel.cancel();
    const Status stopped = env::each_at_once(10, 1, cancel, [&](std::size_t) { return Status{}; });
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == Errc::cancelled);
}
