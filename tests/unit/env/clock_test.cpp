#include "env/clock.hpp"

#include <doctest/doctest.h>

#include <set>

#include "env/poll.hpp"
#include "env/random.hpp"
#include "support/fake_clock.hpp"

using namespace stillpoint;
using namespace stillpoint::env;
using namespace std::chrono_literals;

TEST_CASE("env/clock: a deadline counts down on its clock and never goes negative") {
    test::FakeClock clock;
    const Deadline deadline{clock, 1500us};
    CHECK(deadline.poll_ms() == 2);  // rounded up: waiting never ends early
    clock.advance(1499us);
    CHECK_FALSE(deadline.passed());
    clock.advance(1us);
    CHECK(deadline.passed());
    clock.advance(1h);
    CHECK(deadline.left() == 0ns);
    CHECK(deadline.poll_ms() == 0);
}

TEST_CASE("env/clock: the largest budget is for ever, not the past") {
    test::FakeClock clock;
    clock.advance(1h);
    const Deadline deadline{clock, Nanoseconds::max()};
    CHECK_FALSE(deadline.passed());
    CHECK(deadline.poll_ms() == 86'400'000);
}

TEST_CASE("env/clock: RFC 3339") {
    CHECK(rfc3339(0ns) == "1970-01-01T00:00:00.000Z");
    CHECK(rfc3339(1'000'000'000s + 7ms) == "2001-09-09T01:46:40.007Z");
    CHECK(rfc3339(951'782'400s - 1ns) == "2000-02-28T23:59:59.999Z");
}

TEST_CASE("env/random: UUIDv7: version, variant, time order") {
    test::FakeClock clock;
    std::set<std::string> ids;
    std::string last;
    for (int n = 0; n < 100; ++n) {
        clock.advance(1ms);
        const std::string id = uuid7(clock);
        CHECK(id.size() == 32);
        CHECK(id[12] == '7');
        CHECK(std::string_view{"89ab"}.find(id[16]) != std::string_view::npos);
        CHECK(id > last);
        last = id;
        ids.insert(id.substr(13));
    }
    CHECK(ids.size() == 100);
    CHECK(random_hex(8).size() == 16);
    CHECK(random_bytes(0).empty());
}

TEST_CASE("env/poll: a cancelled token ends a wait and wakes a poll") {
    CancelToken token;
    CHECK(token.check());
    CHECK(pause(1ms, token));
    CancelToken copy = token;
    copy.cancel();
    copy.cancel();
    CHECK(token.check().error().code == Errc::cancelled);
    CHECK(pause(1h, token).error().code == Errc::cancelled);
}

TEST_CASE("env/poll: a doorbell rung twice is one event; a passed deadline reports nothing ready") {
    const SystemClock clock;
    const Doorbell bell = Doorbell::create().value();
    pollfd entry{bell.poll_fd(), POLLIN, 0};
    CHECK_FALSE(wait_any({&entry, 1}, Deadline{clock, 0s}).value());
    bell.ring();
    bell.ring();
    CHECK(wait_any({&entry, 1}, Deadline{clock, 10s}).value());
    bell.clear();
    CHECK_FALSE(wait_any({&entry, 1}, Deadline{clock, 0s}).value());
    CHECK(entry.revents == 0);
}
