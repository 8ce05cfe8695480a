#include "hooks/hook_engine.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace stillpoint;
using namespace stillpoint::hooks;
using namespace std::chrono_literals;
using quiesce::HookJournal;
using quiesce::OnFailure;

namespace {

/// Everything outside the engine: commands that end as the test says, a clock that only waits move,
/// and a journal in memory.
class World final : public HookSystem, public HookJournalStore, public HookHands {
public:
    explicit World(Orphans of) : orphans(of) {}
    /// A moment at which the program may be killed. A child commits and executes even so.
    struct Moment {
        std::size_t executions = 0;
        std::optional<HookJournal> journal;
    };
    // ---- commands
    Status begin(const Hook& which) override {
        begun.push_back(which.name);
        return {};
    }
    HookResult execute(const HookOrder& order) override {
        HookResult result;
        const std::string phase = text_of(order.phase);
        std::string what = order.hook.name + " " + phase;
        if (unstartable == what) {
            result.output = "open: refused";
            return result;
        }
        in_child = true;
        const bool committed = !order.commit || order.commit();
        in_child = false;
        if (!committed) return result;
        result.end = HookEnd::exited;
        if (failures[what] > 0) {
            --failures[what];
            result.status = 1;
        }
        if (cancel_in == what) cancelled = true;
        if (cancel_in == what) result.end = HookEnd::cancelled;
        timeouts.push_back(order.timeout);
        time += takes;
        happened(what + (order.result.empty() ? "" : " " + order.result));
        return result;
    }
    void kill(const Hook& hook, HookPhase) override { killed.push_back(hook.name); }
    bool running(const Hook& which, HookPhase) override { return holder == which.name; }
    void end(const Hook& hook) override { ended.push_back(hook.name); }
    // ---- journal
    Status lock() override {
        if (!lockable) return fail(Errc::busy, "journal.locked", "another one holds it");
        return {};
    }
    std::vector<int> held() const override { return {}; }
    Result<std::optional<HookJournal>> read() override {
        if (damaged) return fail(Errc::corrupt, "journal.damaged", "the journal is damaged");
        return stored;
    }
    Status write(const HookJournal& journal) override {
        if (disk_full) return fail(Errc::no_space, "os.enospc", "write: no space");
        stored = journal.hooks.empty() ? std::nullopt : std::optional{journal};
        if (!in_child) moments.push_back({events.size(), stored});
        return {};
    }
    Status set_aside() override {
        aside = true;
        return {};
    }
    // ---- time
    Paused pause(Nanoseconds until) override {
        if (cancelled) return Paused::cancelled;
        time = std::max(time, until);
        return Paused::to_the_end;
    }

    HookEngine engine() {
        return HookEngine{{*this, *this, [this] { return time; }, [](const std::string&, bool) {},
                           "this boot", orphans}};
    }
    [[nodiscard]] std::string story() const {
        std::string text;
        for (const std::string& event : events) text += (text.empty() ? "" : ", ") + event;
        return text;
    }

    std::map<std::string, int> failures;  // "10-a pre" fails that often
    std::string unstartable, cancel_in, holder;
    bool cancelled = false, lockable = true, damaged = false, disk_full = false, aside = false;
    Orphans orphans;
    Nanoseconds time = 1s, takes = 0ns;
    std::optional<HookJournal> stored;
    std::vector<std::string> events;  // "10-a pre" or "10-a post success"
    std::vector<Moment> moments;
    std::vector<std::string> begun, killed, ended;
    std::vector<Nanoseconds> timeouts;

private:
    void happened(const std::string& what) {
        events.push_back(what);
        moments.push_back({events.size(), stored});
    }
    bool in_child = false;
};

Hook hook(const std::string& name, OnFailure on_failure = OnFailure::fallback) {
    Hook made;
    made.name = name;
    made.on_failure = on_failure;
    made.pre.command = "/pre";
    made.post.emplace().command = "/post";
    made.abort.emplace().command = "/abort";
    return made;
}

/// Never cancelled, on the world's clock.
struct Steady final : HookHands {
    explicit Steady(World& of) : world(of) {}
    HookResult execute(const HookOrder& order) override { return world.execute(order); }
    Paused pause(Nanoseconds until) override {
        world.time = std::max(world.time, until);
        return Paused::to_the_end;
    }
    World& world;
};

struct Case {
    explicit Case(Orphans orphans = Orphans::go_on) : world(orphans) {}
    World world;
    Steady steady{world};
    HookEngine engine = world.engine();
    HookEngine::PreReport pre(std::vector<Hook> hooks, Nanoseconds until = 1h) {
        engine.recover(hooks, steady);
        return engine.run_pre(std::move(hooks), "job", until, {world, steady});
    }
};

}  // namespace

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
