#include "keeper/stall.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::keeper;
using namespace std::chrono_literals;
using Verdict = StallJudge::Verdict;

namespace {

using Look = std::optional<env::ThreadLook>;

/// Looks whenever the judge wants to, until it does not wait any more.
/// @param seen what the thread does at the n-th look
/// @return the silence after which the owner counts as hung
template <class Seen>
env::Nanoseconds silence_until_hung(env::Nanoseconds stall, Seen seen) {
    const env::Nanoseconds start = 1h;
    StallJudge judge{stall, start};
    for (std::uint64_t n = 0;; ++n) {
        const env::Nanoseconds now = judge.next_look() + 3ms;
        if (judge.look(now, seen(n)) == Verdict::hangs) return now - start;
        REQUIRE(n < 1000);
    }
}

}  // namespace

TEST_CASE("keeper/stall: who is stopped, sleeps without a turn or cannot be seen hangs at once") {
    for (const char state : {'T', 't', 'S', 'D', 'Z', 'X', '?'}) {
        CAPTURE(state);
        const auto hung = silence_until_hung(3s, [&](std::uint64_t) { return Look{{state, 7}}; });
        CHECK(hung < 3s + 10ms);
        CHECK(hung >= 3s);
    }
    CHECK(silence_until_hung(3s, [](std::uint64_t) { return Look{}; }) < 3s + 10ms);
    // A stopped thread had turns until it was stopped.
    CHECK(silence_until_hung(3s, [](std::uint64_t n) { return Look{{'T', n}}; }) < 3s + 10ms);
}

TEST_CASE("keeper/stall: who waits for a processor, or gets a turn now and then, is starved") {
    const auto waits = [](std::uint64_t) { return Look{{'R', 7}}; };
    const auto sleeps_between = [](std::uint64_t n) { return Look{{'S', n}}; };
    const auto pages_in = [](std::uint64_t n) { return Look{{'D', n}}; };
    CHECK(silence_until_hung(3s, waits) >= StallJudge::starved_max);
    CHECK(silence_until_hung(3s, sleeps_between) >= StallJudge::starved_max);
    CHECK(silence_until_hung(3s, pages_in) >= StallJudge::starved_max);
    CHECK(silence_until_hung(3s, waits) < StallJudge::starved_max + 1s);  // it has an end
    CHECK(silence_until_hung(1h, waits) >= 1h);
}

TEST_CASE("keeper/stall: starved first and then hung is found out at the next look") {
    const auto hung = silence_until_hung(4s, [](std::uint64_t n) {
        return Look{{n < 4 ? 'R' : 'S', 7}};
    });
    CHECK(hung >= 7s - 100ms);  // looks at 2, 4, 5, 6 and 7 s
    CHECK(hung <= 7s + 100ms);
}

TEST_CASE("keeper/stall: a word ends the silence, and what was seen before it is forgotten") {
    StallJudge judge{4s, 0s};
    CHECK(judge.next_look() == 2s);
    CHECK(judge.look(2s, Look{{'S', 1}}) == Verdict::wait);
    CHECK(judge.next_look() == 4s);
    CHECK(judge.look(4s, Look{{'S', 2}}) == Verdict::starved);
    judge.heard(4500ms);
    CHECK(judge.next_look() == 6500ms);
    CHECK(judge.look(6500ms, Look{{'S', 3}}) == Verdict::wait);
    CHECK(judge.look(8500ms, Look{{'S', 3}}) == Verdict::hangs);
}

TEST_CASE("keeper/stall: a keeper that slept too long itself starts counting anew") {
    StallJudge judge{3s, 0s};
    CHECK(judge.look(60s, Look{{'S', 1}}) == Verdict::wait);
    CHECK(judge.next_look() == 61500ms);
    CHECK(judge.look(61500ms, Look{{'S', 1}}) == Verdict::wait);
    CHECK(judge.look(63s, Look{{'S', 1}}) == Verdict::hangs);
}
