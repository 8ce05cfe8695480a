#include "env/file_stamp.hpp"

#include <doctest/doctest.h>

#include "env/byte_lock.hpp"

using namespace stillpoint;
using namespace stillpoint::env;
using namespace std::chrono_literals;

namespace {

/// Wall time that stands still; waiting is measured on the real clock.
struct WallAt final : Clock {
    explicit WallAt(Nanoseconds at) : at_(at) {}
    [[nodiscard]] Nanoseconds monotonic() const override { return {}; }
    [[nodiscard]] Nanoseconds wall() const override { return at_; }
    Nanoseconds at_;
};

Nanoseconds waited(Nanoseconds changed, Nanoseconds now) {
    const SystemClock real;
    const Nanoseconds start = real.monotonic();
    REQUIRE(settle({.changed = changed}, WallAt{now}, {}));
    return real.monotonic() - start;
}

}  // namespace

TEST_CASE("env/file_stamp: what changed long ago, or in the future, is not waited for") {
    CHECK(waited(1'000'000'001ns, 100s) < 15ms);
    CHECK(waited(100'000'000'001ns, 1s) < 15ms);
}

TEST_CASE("env/file_stamp: what changed in this tick is waited for") {
    CHECK(waited(5'000'000'001ns, 5'000'000'001ns) >= stamp_tick_max);
    CHECK(waited(5'000'000'001ns, 5'012'000'000ns) >= 8ms);
}

TEST_CASE("env/file_stamp: whole seconds are the tick of a file system that keeps no more") {
    CHECK(waited(5s, 5s + stamp_second - 30ms) >= 30ms);
    CHECK(waited(5s, 5s + stamp_second + 1ms) < 15ms);
}

TEST_CASE("env/file_stamp: waiting can be cancelled") {
    CancelToken cancelled;
    cancelled.cancel();
    CHECK(settle({.changed = 5s}, WallAt{5s}, cancelled).error().code == Errc::cancelled);
}

TEST_CASE(
    "env/byte_lock: shared locks meet, exclude nobody but who asks, and end with their owner") {
    const auto folder = TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-lock-");
    REQUIRE(folder);
    const Path file = folder->path() / "file";
    REQUIRE(write_durably(file, as_bytes("x"), 0600, folder->path()));
    {
        const auto one = SharedByteLocks::take(file, {101, 203});
        const auto two = SharedByteLocks::take(file, {101});
        REQUIRE(one);
        REQUIRE(two);
        CHECK(byte_locked(file, 101).value());
        CHECK(byte_locked(file, 203).value());
        CHECK_FALSE(byte_locked(file, 102).value());
    }
    CHECK_FALSE(byte_locked(file, 101).value());
    CHECK(byte_locked(folder->path() / "none", 1).error().code == Errc::not_found);
}
