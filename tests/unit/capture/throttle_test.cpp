#include "capture/throttle.hpp"

#include <doctest/doctest.h>

#include "support/fake_clock.hpp"

using namespace stillpoint;
using namespace std::chrono_literals;
using capture::Throttle;

TEST_CASE("capture/throttle: one rate for all who share it") {
    test::FakeClock clock;
    Throttle throttle{clock, {.bytes_per_second_max = 1000}};
    CHECK(throttle.take(500) == 0ms);
    CHECK(throttle.take(500) == 500ms);  // whoever asks
    clock.advance(500ms);
    CHECK(throttle.take(500) == 0ms);
    CHECK(throttle.take(1) == 500ms);
}

TEST_CASE("capture/throttle: readers share what may be in flight, and each gets on") {
    const test::FakeClock clock;
    Throttle throttle{clock, {.read_ahead = ByteCount{1u << 20}}};
    CHECK(throttle.share(256u << 10) == 4);
    {
        const Throttle::Seat first{&throttle};
        CHECK(throttle.share(256u << 10) == 4);
        const Throttle::Seat second{&throttle};
        CHECK(throttle.share(256u << 10) == 2);
        CHECK(throttle.share(4u << 20) == 1);
    }
    CHECK(throttle.share(128u << 10) == 8);
}

TEST_CASE("capture/throttle: a guest that suffers is read more gently, and then no longer") {
    test::FakeClock clock;
    Throttle throttle{clock, {}};
    constexpr std::uint32_t request = 256u << 10;
    CHECK(throttle.take(1u << 30) == 0ms);
    throttle.slow_down(8);
    CHECK(throttle.share(request) == 4);
    CHECK(throttle.take(64u << 20) == 0ms);
    CHECK(throttle.take(1) == 1s);
    throttle.slow_down(64);
    CHECK(throttle.share(request) == 1);
    CHECK(throttle.take(8u << 20) == 0ms);
    CHECK(throttle.take(1) > 900ms);
    throttle.slow_down(1);
    CHECK(throttle.share(request) == 32);
    CHECK(throttle.take(1u << 30) == 0ms);
    CHECK(throttle.take(1u << 30) == 0ms);
}
