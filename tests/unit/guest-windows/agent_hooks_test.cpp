#include <doctest/doctest.h>

#include <algorithm>

#include "agent_world.hpp"
#include "quiesce/level.hpp"

namespace stillpoint::test {
namespace {

using namespace serialization;
using namespace windows_guest;

const Finish good_end{AgentWorld::job, true};
const Thaw thaw_it{AgentWorld::lease, true};

struct World : AgentWorld {
    World() {
        vss.gate = &gate;
        hooks.add("10-a");
        hooks.add("20-b");
    }
    void greet() {
        start();
        hello();
        welcome = expect<Welcome>();
    }
    Prepared prepare() {
        Prepare wanted;
        wanted.job_id = job;
        wanted.wanted = Level::application;
        prepared = ask<Prepared>(wanted);
        return *prepared;
    }
    /// As the host computes it.
    quiesce::LevelResult level() {
        quiesce::LevelInput input;
        input.job_id = job;
        input.asked = Level::application;
        input.welcome = welcome;
        input.prepared = prepared;
        input.frozen = frozen;
        input.thawed = thawed;
        input.lease_id = lease;
        input.window = window;
        return compute_level(input);
    }
    void freeze_it() {
        window.freeze_sent_ns = windows_guest::os::now().count();
        frozen = ask<Frozen>(Freeze{lease, 5'000'000'000});
        window.frozen_received_ns = windows_guest::os::now().count();
    }
    void thaw() {
        window.snapshot_before_ns = window.frozen_received_ns;
        window.snapshot_after_ns = window.thaw_sent_ns = windows_guest::os::now().count();
        thawed = ask<Thawed>(thaw_it);
        window.thawed_received_ns = windows_guest::os::now().count();
    }
    void back_up() {
        prepare();
        freeze_it();
        thaw();
    }
    Welcome welcome;
    std::optional<Prepared> prepared;
    std::optional<Frozen> frozen;
    std::optional<Thawed> thawed;
    quiesce::HostWindow window;
};

std::vector<std::string> told(const std::vector<Evidence>& all) {
    std::vector<std::string> hooks;
    for (const Evidence& e : all) {
        if (e.kind != EvidenceKind::hook) continue;
        hooks.push_back(e.name + " " + e.type + (e.quiesced ? "" : ": " + e.note));
    }
    return hooks;
}

using Told = std::vector<std::string>;

}  // namespace

TEST_CASE("windows/hooks: pre after VSS is ready, post in reverse when the backup ends") {
    World world;
    world.greet();
    CHECK(told(world.prepare().evidence) == Told{"10-a pre", "20-b pre"});
    CHECK(world.vss.calls() == "open add prepare status");
    world.freeze_it();
    world.thaw();
    CHECK(world.thawed->held);
    CHECK(told(world.thawed->evidence).empty());
    CHECK(world.level().level == Level::application);
    CHECK(world.hooks.story() == "10-a pre, 20-b pre");
    CHECK(told(world.ask<Finished>(good_end).evidence) == Told{"20-b post", "10-a post"});
    CHECK(world.hooks.story() == "10-a pre, 20-b pre, 20-b post success, 10-a post success");
    CHECK(world.vss.calls().ends_with("complete status release"));
}

TEST_CASE("windows/hooks: a pre that fails takes the level, and is named with what it said") {
    World world;
    world.hooks.fail_in("20-b pre");
    world.greet();
    world.back_up();
    CHECK(world.hooks.story() == "10-a pre, 20-b pre, 20-b post aborted, 10-a post aborted");
    CHECK(told(world.prepared->evidence) ==
          Told{"10-a pre: aborted because 20-b failed", "20-b pre: exit code 1: said something"});
    CHECK(world.prepared->refusal.empty());
    const auto level = world.level();
    CHECK(level.level == Level::filesystem);
    CHECK(std::ranges::count(level.warnings, "hook.failed", &Warning::code) == 1);
    world.ask<Finished>(good_end);
}

TEST_CASE("windows/hooks: a pre without which there is no backup refuses it") {
    World world;
    world.hooks.add("30-c", quiesce::OnFailure::fail);
    world.hooks.fail_in("30-c pre");
    world.greet();
    CHECK(world.prepare().refusal == "hook 30-c: exit code 1: said something");
}

TEST_CASE("windows/hooks: what lost its hold before the thaw is told with it") {
    World world;
    world.greet();
    world.prepare();
    world.freeze_it();
    world.hooks.lose("10-a");
    world.thaw();
    CHECK(told(world.thawed->evidence) ==
          Told{"10-a pre: what its pre left running had ended too early"});
    CHECK(world.level().level == Level::filesystem);
    CHECK(told(world.ask<Finished>(good_end).evidence) == Told{"20-b post", "10-a post"});
}

TEST_CASE("windows/hooks: a lost host ends a pre under way, then every hook that was begun") {
    World world;
    world.hooks.hang_in("20-b pre");
    world.greet();
    Prepare wanted;
    wanted.job_id = AgentWorld::job;
    wanted.wanted = Level::application;
    world.send(wanted);
    world.hooks.await("10-a pre, 20-b pre");
    // It answers meanwhile.
    CHECK(world.ask<Pong>(Ping{1}).state == "preparing");
    world.lose_host();
    world.hooks.await("10-a pre, 20-b pre, 20-b post aborted, 10-a post aborted");
    world.hello();
    (void)world.expect<Finished>();
    (void)world.expect<Welcome>();
    CHECK(world.vss.calls().ends_with("abort release"));
}

TEST_CASE("windows/hooks: a filesystem backup, and one that VSS cannot prepare, run none") {
    World world;
    world.greet();
    Prepare wanted;
    wanted.job_id = AgentWorld::job;
    SUBCASE("the level") {
        wanted.wanted = Level::filesystem;
    }
    SUBCASE("VSS") {
        wanted.wanted = Level::application;
        world.vss.ends["open"] = {vss::service_disabled};
    }
    CHECK(told(world.ask<Prepared>(wanted).evidence).empty());
    (void)world.ask<Finished>(Finish{AgentWorld::job, false});
    CHECK(world.hooks.story().empty());
}

TEST_CASE("windows/hooks: what an earlier life owed is paid before the host is answered") {
    World world;
    world.hooks.owe({1, "an earlier boot", "job", {{"10-a", quiesce::HookStep::held}}});
    world.greet();
    CHECK(world.hooks.story() == "10-a post aborted");
    CHECK(world.welcome.journal == "recovered: 10-a: post succeeded;");
    world.back_up();
    world.ask<Finished>(good_end);
    world.hello();
    CHECK(world.expect<Welcome>().journal == "clean");
}

TEST_CASE("windows/hooks: each backup is configured anew, and a wrong file changes nothing") {
    World world;
    GuestConfig config;
    config.type = BackupType::copy;
    bool wrong = false;
    world.configure = [&]() -> Result<GuestConfig> {
        if (wrong) return fail(Errc::invalid, "config.guest", "guest.xml:1: it is wrong");
        return config;
    };
    world.greet();
    world.prepare();
    CHECK(world.vss.calls().starts_with("open-copy"));
    (void)world.ask<Finished>(good_end);
    wrong = true;
    world.prepare();
    CHECK(world.vss.calls().find("release open-copy") != std::string::npos);
    (void)world.ask<Finished>(good_end);
}

}  // namespace stillpoint::test
