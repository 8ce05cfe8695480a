#include <doctest/doctest.h>

#include "engine_world.hpp"

namespace stillpoint::test {

TEST_CASE("hooks/engine: killed at any step, every pre is ended exactly once") {
    for (const bool failing : {false, true}) {
        Case whole;
        if (failing) whole.world.failures["20-b pre"] = 1;
        const std::vector<Hook> hooks{hook("10-a"), hook("20-b")};
        whole.pre(hooks);
        whole.engine.finish(true, whole.steady);
        REQUIRE(whole.world.moments.size() >= 7);
        for (const World::Moment& killed : whole.world.moments) {
            for (const bool same_boot : {true, false}) {
                CAPTURE(killed.executions);
                CAPTURE(same_boot);
                std::map<std::string, int> begun, ended;
                const auto count = [&](const std::string& what) {
                    (what.substr(5) == "pre" ? begun : ended)[what.substr(0, 4)] += 1;
                };
                Case next;
                next.world.stored = killed.journal;
                bool end_cut = false;
                if (next.world.stored && !same_boot) next.world.stored->boot_id = "another";
                if (next.world.stored) {
                    end_cut = next.world.stored->hooks.back().step == quiesce::HookStep::ending;
                }
                for (std::size_t i = 0; i < killed.executions; ++i) count(whole.world.events[i]);
                next.engine.recover(hooks, next.steady);
                for (const std::string& event : next.world.events) {
                    count(event);
                    CHECK(event.ends_with("abort aborted"));
                }
                // An end that a reboot cut counts as cut.
                const int repeated = end_cut && !same_boot ? 1 : 0;
                int ends = 0, begins = 0;
                for (const auto& [name, times] : begun) begins += times;
                for (const auto& [name, times] : ended) ends += times;
                for (const auto& [name, times] : begun) CHECK(ended[name] >= times);
                CHECK(ends == begins + repeated);
                CHECK(!next.world.stored);
            }
        }
    }
}

TEST_CASE("hooks/engine: an end that was under way is not repeated, but after a reboot it is") {
    for (const bool same_boot : {true, false}) {
        Case probe;
        probe.pre({hook("10-a")});
        Case c;
        c.world.stored = HookJournal{1,
                                     same_boot ? probe.world.stored->boot_id : "another",
                                     "job",
                                     {{"10-a", quiesce::HookStep::ending}}};
        c.engine.recover({hook("10-a")}, c.steady);
        CHECK(c.world.story() == (same_boot ? "" : "10-a abort aborted"));
        CHECK(c.world.ended.size() == 1);
        CHECK(!c.world.stored);
        CHECK(c.engine.journal_state().starts_with("recovered: 10-a: "));
    }
}

TEST_CASE("hooks/engine: where commands die with the program, an end that was under way was cut") {
    Case c{Orphans::die};
    c.world.stored = HookJournal{1, "this boot", "job", {{"10-a", quiesce::HookStep::ending}}};
    c.engine.recover({hook("10-a")}, c.steady);
    CHECK(c.world.story() == "10-a abort aborted");
    CHECK(c.world.begun.empty());  // the boot is the same: what it keeps in its folder stands
    CHECK(!c.world.stored);
}

TEST_CASE("hooks/engine: a pre that was cut by a crash is killed before its abort") {
    Case c;
    c.world.stored = HookJournal{1, "x", "job", {{"10-a", quiesce::HookStep::pre}}};
    c.engine.recover({hook("10-a")}, c.steady);
    CHECK(c.world.killed == std::vector<std::string>{"10-a"});
    Case held;
    held.world.stored = HookJournal{1, "x", "job", {{"10-a", quiesce::HookStep::held}}};
    held.engine.recover({hook("10-a")}, held.steady);
    CHECK(held.world.killed.empty());
}

TEST_CASE("hooks/engine: a damaged journal is reported, set aside, and runs nothing") {
    Case c;
    c.world.damaged = true;
    c.engine.recover({hook("10-a")}, c.steady);
    CHECK(c.world.events.empty());
    CHECK(c.world.aside);
    CHECK(c.engine.journal_state() == "the journal is damaged");
    CHECK(c.engine.run_pre({hook("10-a")}, "j", 1h, {c.world, c.steady}).evidence[0].quiesced);
    CHECK(c.engine.journal_state() == "clean");
}

TEST_CASE("hooks/engine: a hook that is gone is reported and forgotten") {
    Case c;
    c.world.stored = HookJournal{1, "x", "job", {{"10-a", quiesce::HookStep::held}}};
    c.engine.recover({}, c.steady);
    CHECK(c.engine.journal_state() == "recovered: 10-a: cannot be read any more, nothing was run;");
    CHECK(!c.world.stored);
}

}  // namespace stillpoint::test
