#include <doctest/doctest.h>

#include "engine_world.hpp"

namespace stillpoint::test {

TEST_CASE("hooks/engine: pre in order, post in reverse, and nothing is owed") {
    Case c;
    const auto report = c.pre({hook("10-a"), hook("20-b")});
    CHECK(report.evidence.size() == 2);
    CHECK(report.evidence[0].quiesced);
    CHECK(report.evidence[0].type == "pre");
    CHECK(report.freeze_needed);
    CHECK(report.refusal.empty());
    CHECK(c.world.stored->hooks.size() == 2);
    const auto ended = c.engine.finish(true, c.steady);
    CHECK(ended.size() == 2);
    CHECK(c.world.story() == "10-a pre, 20-b pre, 20-b post success, 10-a post success");
    CHECK(!c.world.stored);
    CHECK(c.engine.finish(true, c.steady).empty());
}

TEST_CASE("hooks/engine: a holder that ends too early is told once") {
    Case c;
    c.world.holder = "20-b";
    c.pre({hook("10-a"), hook("20-b")});
    CHECK(c.engine.lost().empty());
    c.world.holder.clear();
    const auto lost = c.engine.lost();
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].name == "20-b");
    CHECK(lost[0].type == "pre");
    CHECK(!lost[0].quiesced);
    CHECK(c.engine.lost().empty());
}

TEST_CASE("hooks/engine: a failed backup is told to post") {
    Case c;
    c.pre({hook("10-a")});
    c.engine.finish(false, c.steady);
    CHECK(c.world.story() == "10-a pre, 10-a post failure");
}

TEST_CASE("hooks/engine: fallback aborts what was run, in reverse, and runs no more") {
    Case c;
    c.world.failures["20-b pre"] = 1;
    const auto report = c.pre({hook("10-a"), hook("20-b"), hook("30-c")});
    CHECK(c.world.story() == "10-a pre, 20-b pre, 20-b abort aborted, 10-a abort aborted");
    REQUIRE(report.evidence.size() == 3);
    for (const auto& fact : report.evidence) CHECK(!fact.quiesced);
    CHECK(report.evidence[0].note == "aborted because 20-b failed");
    CHECK(report.evidence[2].note == "not started: an earlier hook failed");
    CHECK(report.refusal.empty());
    CHECK(report.freeze_needed);
    CHECK(!c.world.stored);
    CHECK(c.engine.finish(true, c.steady).size() == 2);  // the aborts' evidence, nothing more run
    CHECK(c.world.events.size() == 4);
}

TEST_CASE("hooks/engine: fail does likewise and refuses the backup by name") {
    Case c;
    c.world.failures["20-b pre"] = 1;
    const auto report = c.pre({hook("10-a"), hook("20-b", OnFailure::fail)});
    CHECK(report.refusal == "hook 20-b: exit code 1");
    CHECK(!c.world.stored);
}

TEST_CASE("hooks/engine: continue aborts only the one that failed") {
    Case c;
    c.world.failures["10-a pre"] = 1;
    const auto report = c.pre({hook("10-a", OnFailure::carry_on), hook("20-b")});
    CHECK(!report.evidence[0].quiesced);
    CHECK(report.evidence[1].quiesced);
    c.engine.finish(true, c.steady);
    CHECK(c.world.story() == "10-a pre, 10-a abort aborted, 20-b pre, 20-b post success");
}

TEST_CASE("hooks/engine: without abort, post is told; without both, nothing is run") {
    Case c;
    c.world.failures["30-c pre"] = 1;
    Hook a = hook("10-a");
    a.abort.reset();
    Hook b = hook("20-b");
    b.abort.reset();
    b.post.reset();
    c.pre({a, b, hook("30-c")});
    CHECK(c.world.story() == "10-a pre, 20-b pre, 30-c pre, 30-c abort aborted, 10-a post aborted");
    CHECK(c.world.ended == std::vector<std::string>{"30-c", "20-b", "10-a"});
}

TEST_CASE("hooks/engine: tries are real, with a doubling wait, within the total time") {
    Case c;
    Hook a = hook("10-a");
    a.pre.tries = 5;
    a.pre.timeout = 10s;
    a.pre.backoff = 2s;
    c.world.failures["10-a pre"] = 2;
    c.world.takes = 3s;
    const auto report = c.pre({a});
    CHECK(report.evidence[0].quiesced);
    CHECK(report.evidence[0].executions == 3);
    CHECK(report.evidence[0].duration_ns == Nanoseconds{3 * 3s + 2s + 4s}.count());
    CHECK(c.world.events.size() == 3);

    Case late;
    late.world.failures["10-a pre"] = 5;
    late.world.takes = 3s;
    a.pre.total_timeout = 10s;
    CHECK(!late.pre({a}).evidence[0].quiesced);
    // 3 s, 2 s pause, 3 s, and the pause of 4 s ends with the total: no third.
    CHECK(late.world.story() == "10-a pre, 10-a pre, 10-a abort aborted");
    CHECK(late.world.timeouts[1] == 5s);
}

TEST_CASE("hooks/engine: the host's budget bounds pre, and none is begun without time") {
    Case c;
    c.world.takes = 30s;
    const auto report = c.pre({hook("10-a"), hook("20-b")}, 1s + 20s);
    CHECK(c.world.timeouts[0] == 20s);
    CHECK(report.evidence[1].note == "not started: no time is left for it");
    CHECK(c.world.story() == "10-a pre, 10-a abort aborted");
}

TEST_CASE("hooks/engine: a cut leaves the ends to finish, which aborts") {
    Case c;
    c.world.cancel_in = "20-b pre";
    const auto report = c.pre({hook("10-a"), hook("20-b"), hook("30-c")});
    CHECK(c.world.story() == "10-a pre, 20-b pre");
    CHECK(report.evidence[2].note == "not started: cancelled");
    CHECK(c.world.stored->hooks.size() == 2);
    c.engine.finish(false, c.steady);
    CHECK(c.world.story() == "10-a pre, 20-b pre, 20-b abort aborted, 10-a abort aborted");
    CHECK(!c.world.stored);
}

TEST_CASE("hooks/engine: what cannot be started is owed nothing") {
    for (const bool full : {false, true}) {
        Case c;
        c.world.disk_full = full;
        if (!full) c.world.unstartable = "10-a pre";
        const auto report = c.pre({hook("10-a")});
        CHECK(!report.evidence[0].quiesced);
        CHECK(report.evidence[0].note.starts_with("not started"));
        CHECK(c.world.events.empty());
        CHECK(!c.world.stored);
    }
    Case c;
    Hook broken = hook("10-a");
    broken.problem = Error{Errc::invalid, "config.hook", "hook.xml:3: wrong", {}};
    CHECK(c.pre({broken}).evidence[0].note == "not started: hook.xml:3: wrong");
    Case locked;
    locked.world.lockable = false;
    CHECK(locked.pre({hook("10-a")}).evidence[0].note == "not started: another one holds it");
}

TEST_CASE("hooks/engine: no freeze is needed only if every hook says so and succeeded") {
    for (const bool failing : {false, true}) {
        Case c;
        Hook a = hook("10-a");
        Hook b = hook("20-b", OnFailure::carry_on);
        a.freeze_needed = b.freeze_needed = false;
        if (failing) c.world.failures["20-b pre"] = 1;
        CHECK(c.pre({a, b}).freeze_needed == failing);
    }
    Case c;
    Hook a = hook("10-a");
    a.freeze_needed = false;
    CHECK(c.pre({a, hook("20-b")}).freeze_needed);
    CHECK(Case{}.pre({}).freeze_needed);
}

}  // namespace stillpoint::test
