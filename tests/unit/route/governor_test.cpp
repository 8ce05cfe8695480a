#include "route/governor.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace std::chrono_literals;
using hypervisor::GuestWrites;
using route::Governor;

namespace {

/// A guest that makes so many writes between two looks. @threads one
struct Guest {
    GuestWrites writes{};
    GuestWrites next(std::uint64_t count, env::Nanoseconds each) {
        writes.count += count;
        writes.time += each * static_cast<std::int64_t>(count);
        return writes;
    }
};

}  // namespace

TEST_CASE("route/governor: a guest that feels nothing is read at full speed") {
    Governor governor{5ms};
    Guest guest;
    for (int i = 0; i < 20; ++i) CHECK(governor.look(guest.next(100, 9ms)) == 1);
    CHECK(governor.slowed() == 0);
}

TEST_CASE("route/governor: writes that take more than twice as long slow the backup down") {
    Governor governor{5ms};
    Guest guest;
    CHECK(governor.look(guest.next(100, 5ms)) == 1);
    for (const unsigned divisor : {2u, 4u, 8u, 16u, 32u, 64u, 64u}) {
        CHECK(governor.look(guest.next(100, 11ms)) == divisor);
    }
    CHECK(governor.slowed() == 7);
}

TEST_CASE("route/governor: it takes some calm to be faster again") {
    Governor governor{5ms};
    Guest guest;
    static_cast<void>(governor.look(guest.next(100, 5ms)));
    CHECK(governor.look(guest.next(100, 30ms)) == 2);
    CHECK(governor.look(guest.next(100, 30ms)) == 4);
    for (unsigned i = 1; i < Governor::calm_looks; ++i) {
        CHECK(governor.look(guest.next(100, 4ms)) == 4);
    }
    CHECK(governor.look(guest.next(100, 4ms)) == 2);
    CHECK(governor.look(guest.next(100, 30ms)) == 4);
    // A guest that hardly writes waits for nothing.
    for (unsigned i = 0; i < 2 * Governor::calm_looks; ++i) {
        static_cast<void>(governor.look(guest.next(1, 30ms)));
    }
    CHECK(governor.look(guest.next(0, 0ms)) == 1);
}

TEST_CASE("route/governor: noise far below what anybody feels slows nothing") {
    Governor governor{100us};
    Guest guest;
    for (int i = 0; i < 5; ++i) CHECK(governor.look(guest.next(1000, 450us)) == 1);
    CHECK(Governor{std::nullopt}.limit() == Governor::limit_of_idle);
}

TEST_CASE("route/governor: what slower reading does not help is given up in the end") {
    Guest guest;
    const auto looks_until = [&](Governor governor, std::uint64_t count, env::Nanoseconds each) {
        int looks = 0;
        while (!governor.gives_up() && looks < 1000) {
            static_cast<void>(governor.look(guest.next(count, each)));
            ++looks;
        }
        return looks;
    };
    // The first look only counts; six make it slowest, and then it is asked for patience.
    const int slowest = 7, patience = Governor::suffering_looks;
    CHECK(looks_until(Governor{5ms, 500ms}, 100, 501ms) == slowest + patience);
    CHECK(looks_until(Governor{std::nullopt, 500ms}, 1, 501ms) == slowest + patience);
    CHECK(looks_until(Governor{5ms, 500ms}, 100, 500ms) == 1000);
    CHECK(looks_until(Governor{5ms}, 100, 60s) == 1000);
    // A guest whose writes have always taken that long suffers from something else.
    CHECK(looks_until(Governor{100ms, 500ms}, 100, 700ms) == 1000);
    CHECK(looks_until(Governor{100ms, 500ms}, 100, 900ms) == slowest + patience);
}

TEST_CASE("route/governor: one good look ends the suffering; one without a write says nothing") {
    Governor governor{5ms, 500ms};
    Guest guest;
    for (int i = 0; i < 11; ++i) static_cast<void>(governor.look(guest.next(3, 1s)));
    CHECK_FALSE(governor.gives_up());
    static_cast<void>(governor.look(guest.next(3, 100ms)));
    for (int i = 0; i < 4; ++i) {
        static_cast<void>(governor.look(guest.next(3, 1s)));
        static_cast<void>(governor.look(guest.next(0, 0s)));
        CHECK_FALSE(governor.gives_up());
    }
    static_cast<void>(governor.look(guest.next(3, 1s)));
    CHECK(governor.gives_up());
}

TEST_CASE("route/governor: a guest that waits many looks for each write is not left to it") {
    for (const int looks_per_write : {1, 2, 3, 4, 7, 20}) {
        CAPTURE(looks_per_write);
        Governor governor{5ms, 500ms};
        Guest guest;
        int writes = 0;
        for (int look = 0; look < 1000 && !governor.gives_up(); ++look) {
            const bool ends = look % looks_per_write == 0;
            writes += ends ? 1 : 0;
            static_cast<void>(governor.look(guest.next(ends ? 1 : 0, looks_per_write * 1s)));
        }
        CHECK(governor.gives_up());
        CHECK(writes == 12);  // as many as of a guest of which one ends at each look
    }
}

TEST_CASE("route/governor: a guest that stopped writing after it suffered is read fast again") {
    Governor governor{5ms, 500ms};
    Guest guest;
    for (int i = 0; i < 5; ++i) static_cast<void>(governor.look(guest.next(1, 2s)));
    CHECK(governor.look(guest.next(0, 0s)) == 16);
    for (unsigned i = 0; i < Governor::silent_looks + 5 * Governor::calm_looks; ++i) {
        static_cast<void>(governor.look(guest.next(0, 0s)));
    }
    CHECK(governor.look(guest.next(0, 0s)) == 1);
    CHECK_FALSE(governor.gives_up());
}

TEST_CASE("route/governor: counters that begin anew say nothing") {
    CHECK_FALSE(Governor::mean({1000, 5s}, {20, 1s}));
    CHECK_FALSE(Governor::mean({1000, 5s}, {1001, 5s}));
    CHECK(Governor::mean({1000, 5s}, {1100, 6s}) == 10ms);
}
