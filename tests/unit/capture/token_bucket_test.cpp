#include "capture/token_bucket.hpp"

#include <doctest/doctest.h>

#include "support/fake_clock.hpp"

using namespace stillpoint;
using namespace stillpoint::capture;
using namespace std::chrono_literals;

TEST_CASE("capture/token bucket: each taking moves the next one") {
    test::FakeClock clock;
    clock.advance(1h);
    TokenBucket bucket{clock, 1000};
    CHECK(bucket.take(500) == 0ns);
    CHECK(bucket.take(500) == 500ms);
    clock.advance(499ms);
    CHECK(bucket.take(500) == 1ms);
    clock.advance(1ms);
    CHECK(bucket.take(500) == 0ns);
    CHECK(bucket.take(1) == 500ms);
}

TEST_CASE("capture/token bucket: a late wake-up is caught up with, an hour of idling is not") {
    test::FakeClock clock;
    TokenBucket bucket{clock, 1000};
    CHECK(bucket.take(100) == 0ns);
    clock.advance(100ms + 30ms);  // 30 ms late
    CHECK(bucket.take(100) == 0ns);
    CHECK(bucket.take(100) == 70ms);
    clock.advance(1h);
    CHECK(bucket.take(100) == 0ns);
    CHECK(bucket.take(100) == 100ms - TokenBucket::catch_up);
}

TEST_CASE("capture/token bucket: no limit never waits; the average holds over a long time") {
    test::FakeClock clock;
    TokenBucket none{clock, 0};
    for (int n = 0; n < 100; ++n) CHECK(none.take(1u << 30) == 0ns);
    TokenBucket bucket{clock, 10'000'000};
    std::uint64_t taken = 0;
    const auto start = clock.monotonic();
    while (taken < 1'000'000'000) {
        const auto wait = bucket.take(262'144);
        if (wait == 0ns) taken += 262'144;
        clock.advance(wait);
    }
    const auto took = clock.monotonic() - start;
    CHECK(took > 99s);
    CHECK(took < 101s);
}
