#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hooks/hook_engine.hpp"

/// A world for the engine of hooks: commands that end as a test says, time that only waits move, a
/// journal in memory.
namespace stillpoint::test {

using namespace hooks;
using namespace std::chrono_literals;
using quiesce::HookJournal;
using quiesce::OnFailure;

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
        in_child_ = true;
        const bool committed = !order.commit || order.commit();
        in_child_ = false;
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
        if (!in_child_) moments.push_back({events.size(), stored});
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
    bool in_child_ = false;
};

inline Hook hook(const std::string& name, OnFailure on_failure = OnFailure::fallback) {
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

}  // namespace stillpoint::test
