#include "service/agent.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "agent_world.hpp"
#include "quiesce/level.hpp"

namespace stillpoint::test {
namespace {

using namespace serialization;
using namespace windows_guest;
using namespace std::chrono_literals;

const Finish good_end{AgentWorld::job, true};
const Thaw thaw_it{AgentWorld::lease, true};

struct World : AgentWorld {
    explicit World(AgentRules rules = {}, const GuestConfig& config = {})
        : AgentWorld(std::move(rules)) {
        configure = [config] { return config; };
        vss.gate = &gate;
        start();
    }
};

const Evidence* find(const std::vector<Evidence>& all, const std::string& name) {
    const auto found = std::ranges::find(all, name, &Evidence::name);
    return found == all.end() ? nullptr : &*found;
}

WriterStatus says(const std::string& name, WriterState state, Hresult failure) {
    return {name, "{}", "{}", state, failure};
}

}  // namespace

TEST_CASE("windows/agent: one backup, from Hello to BackupComplete") {
    World world;
    world.hello();
    const auto welcome = world.expect<Welcome>();
    CHECK(welcome.os == "windows");
    CHECK(welcome.hooks_configured);
    REQUIRE(welcome.volumes.size() == 1);
    CHECK(welcome.volumes[0].name == "C:\\");
    CHECK(welcome.changes == std::vector<std::string>{"the service"});
    const Frozen frozen = world.freeze();
    CHECK(frozen.first_freeze_ns > 0);
    REQUIRE(frozen.evidence.size() == 1);
    const auto thawed = world.ask<Thawed>(thaw_it);
    CHECK(thawed.held);
    CHECK(thawed.frozen_ns == frozen.frozen_ns);
    CHECK(thawed.thaw_ns <= thawed.thawed_ns);
    CHECK(thawed.evidence.size() == 4);
    CHECK(world.ask<Thawed>(thaw_it).held);
    CHECK(world.ask<Finished>(good_end).evidence.empty());
    CHECK(world.vss.calls() == "open add prepare status snapshot status complete status release");
}

TEST_CASE("windows/agent: while writes are held it takes no memory until Frozen is written") {
    World world;
    world.hello();
    (void)world.expect<Welcome>();
    Prepare prepare;
    prepare.job_id = AgentWorld::job;
    prepare.wanted = Level::application;
    // What happens between the answer to Ping and the hold is not the window: the worker waits for
    // us there.
    std::mutex before;
    before.lock();
    world.vss.before_commit = [&] { const std::scoped_lock wait{before}; };
    (void)world.ask<Prepared>(prepare);
    world.send(Freeze{AgentWorld::lease, 5'000'000'000});
    CHECK(world.ask<Pong>(Ping{1}).state == "freezing");
    before.unlock();
    (void)world.expect<Frozen>();
    CHECK(world.line.taken_in_window() == 0);
    CHECK(world.ask<Thawed>(thaw_it).held);
}

TEST_CASE("windows/agent: nobody says thaw, so it lets go by itself and says so") {
    World world;
    world.hello();
    (void)world.expect<Welcome>();
    (void)world.freeze(100'000'000);
    world.await_state("thawed");
    const auto thawed = world.ask<Thawed>(thaw_it);
    CHECK_FALSE(thawed.held);
    CHECK_FALSE(find(thawed.evidence, "C:\\")->quiesced);
    CHECK(thawed.thawed_ns - thawed.frozen_ns < std::chrono::nanoseconds{8s}.count());
    (void)world.ask<Finished>(Finish{AgentWorld::job, false});
    CHECK(world.vss.calls().ends_with("snapshot status abort release"));
}

TEST_CASE("windows/agent: a host that asks for more than VSS can hold gets less") {
    World world{{}, {.freeze_budget = 50ms}};
    world.hello();
    (void)world.expect<Welcome>();
    (void)world.freeze(3'600'000'000'000);
    world.await_state("thawed");
    CHECK_FALSE(world.ask<Thawed>(thaw_it).held);
}

TEST_CASE("windows/agent: a writer that fails in the freeze is named with its state and code") {
    World world;
    world.vss.says["snapshot"] = {
        says("System Writer", WriterState::waiting_for_backup_complete, vss::ok),
        says("SqlServerWriter", WriterState::failed_at_freeze, vss::writer_timeout)};
    world.hello();
    (void)world.expect<Welcome>();
    (void)world.freeze();
    const auto thawed = world.ask<Thawed>(thaw_it);
    CHECK(thawed.held);
    const Evidence* sql = find(thawed.evidence, "SqlServerWriter");
    REQUIRE(sql != nullptr);
    CHECK_FALSE(sql->quiesced);
    CHECK(sql->note.starts_with("FAILED_AT_FREEZE, VSS_E_WRITERERROR_TIMEOUT 0x800423f2"));
}

TEST_CASE("windows/agent: another provider took the snapshot, so nothing was held") {
    World world;
    world.vss.gate = nullptr;
    world.hello();
    (void)world.expect<Welcome>();
    Prepare prepare;
    prepare.job_id = AgentWorld::job;
    (void)world.ask<Prepared>(prepare);
    const auto error = world.ask<Failure>(Freeze{AgentWorld::lease, 5'000'000'000});
    CHECK(error.code == "vss.wrong_provider");
    CHECK_FALSE(world.ask<Thawed>(thaw_it).held);
    CHECK(world.flushed == std::vector<std::string>{"C:\\"});
}

TEST_CASE("windows/agent: a volume that VSS does not take is not held, and the others are") {
    World world;
    world.volumes.push_back({"D:\\", "\\\\?\\Volume{2}\\", "NTFS"});
    world.vss.ends["add D:\\"] = {vss::volume_not_supported};
    world.hello();
    (void)world.expect<Welcome>();
    const Frozen frozen = world.freeze();
    const Evidence* left_out = find(frozen.evidence, "D:\\");
    REQUIRE(left_out != nullptr);
    CHECK_FALSE((left_out->quiesced || left_out->freezable));
    CHECK(left_out->note.find("VSS_E_VOLUME_NOT_SUPPORTED") != std::string::npos);
    CHECK(find(frozen.evidence, "C:\\")->quiesced);
    CHECK(world.ask<Thawed>(thaw_it).held);
}

TEST_CASE("windows/agent: without VSS the volumes are flushed and the reason is told") {
    World world;
    world.vss.ends["open"] = {vss::service_disabled};
    world.hello();
    (void)world.expect<Welcome>();
    Prepare prepare;
    prepare.job_id = AgentWorld::job;
    prepare.wanted = Level::application;
    CHECK(world.ask<Prepared>(prepare).evidence.empty());
    const auto error = world.ask<Failure>(Freeze{AgentWorld::lease, 5'000'000'000});
    CHECK(error.code == "vss.disabled");
    CHECK(error.text.find("sc config VSS") != std::string::npos);
    CHECK(world.flushed == std::vector<std::string>{"C:\\"});
}

TEST_CASE("windows/agent: a host that is lost while writes are held releases them at once") {
    World world;
    world.hello();
    (void)world.expect<Welcome>();
    (void)world.freeze();
    world.lose_host();
    world.hello();
    (void)world.expect<Finished>();  // of the session that is over; the host drops it
    CHECK(world.expect<Welcome>().os == "windows");
    CHECK(world.gate.end() == HoldGate::End::released);
    CHECK(world.vss.calls().ends_with("snapshot status abort release"));
}

TEST_CASE("windows/agent: a thaw with another lease is refused, a cancel thaws") {
    World world;
    world.hello();
    (void)world.expect<Welcome>();
    (void)world.freeze();
    CHECK(world.ask<Failure>(Thaw{"another", true}).code == "protocol.lease");
    CHECK(world.gate.holding());
    CHECK(world.ask<Finished>(Cancel{"enough"}).job_id == AgentWorld::job);
    CHECK_FALSE(world.gate.holding());
}

TEST_CASE("windows/agent: a cancel before the hold leaves nothing held") {
    World world;
    std::mutex before;
    before.lock();
    world.vss.before_commit = [&] { const std::scoped_lock wait{before}; };
    world.hello();
    (void)world.expect<Welcome>();
    Prepare prepare;
    prepare.job_id = AgentWorld::job;
    (void)world.ask<Prepared>(prepare);
    world.send(Freeze{AgentWorld::lease, 5'000'000'000});
    world.send(Cancel{"enough"});
    CHECK(world.ask<Pong>(Ping{1}).state == "aborting");
    before.unlock();
    (void)world.expect<Finished>();
    CHECK(world.gate.end() == HoldGate::End::none);
}

TEST_CASE("windows/agent: logs are truncated only when the host says that the data is safe") {
    World world;
    const auto back_up = [&] {
        world.hello({"complete"});
        CHECK(world.expect<Welcome>().features == std::vector<std::string>{"complete"});
        (void)world.freeze();
        (void)world.ask<Thawed>(thaw_it);
        (void)world.ask<Finished>(good_end);
        CHECK(world.vss.calls().ends_with("snapshot status"));
        world.lose_host();
        world.hello({"complete"});
        (void)world.expect<Welcome>();
    };
    SUBCASE("it is") {
        back_up();
        CHECK(world.ask<Failure>(Complete{"another job", true}).code == "protocol.job");
        CHECK(world.ask<Completed>(Complete{AgentWorld::job, true}).job_id == AgentWorld::job);
        CHECK(world.vss.calls().ends_with("snapshot status complete status release"));
        CHECK(world.ask<Failure>(Complete{AgentWorld::job, true}).code == "protocol.job");
    }
    SUBCASE("it is not") {
        back_up();
        CHECK(world.ask<Completed>(Complete{AgentWorld::job, false}).evidence.empty());
        CHECK(world.vss.calls().ends_with("snapshot status abort release"));
    }
    SUBCASE("the next backup comes first") {
        back_up();
        Prepare prepare;
        prepare.job_id = "another";
        (void)world.ask<Prepared>(prepare);
        CHECK(world.vss.calls().ends_with("snapshot status abort release open-bare add prepare"));
    }
}

TEST_CASE("windows/agent: an examination asks the writers, beside a backup that is still open") {
    World world;
    world.hello({"complete"});
    (void)world.expect<Welcome>();
    (void)world.freeze();
    CHECK(world.ask<Failure>(Doctor{}).code == "protocol.order");
    (void)world.ask<Thawed>(thaw_it);
    (void)world.ask<Finished>(good_end);
    const auto found = world.ask<Diagnosis>(Doctor{});
    CHECK(std::ranges::count(found.findings, "doctor.writer", &Finding::id) == 3);
    CHECK(world.vss.calls().ends_with("snapshot status open-copy status release"));
    (void)world.ask<Completed>(Complete{AgentWorld::job, true});
    CHECK(world.vss.calls().ends_with("complete status release"));
}

TEST_CASE("windows/agent: writers that do not answer hold up neither a ping nor the doctor") {
    World world{{.examine_within = 1ms}};
    world.vss.before_status = [](const std::atomic<bool>& cancelled) {
        while (!cancelled) std::this_thread::yield();
    };
    world.hello();
    (void)world.expect<Welcome>();
    const auto found = world.ask<Diagnosis>(Doctor{});
    const auto why = std::ranges::find(found.findings, "doctor.writers", &Finding::id);
    REQUIRE(why != found.findings.end());
    CHECK(why->text.find("VSS_S_ASYNC_CANCELLED") != std::string::npos);
    CHECK(world.ask<Pong>(Ping{1}).state == "idle");
}

TEST_CASE("windows/agent: a backup that begins ends an examination") {
    World world;
    world.vss.before_status = [](const std::atomic<bool>& cancelled) {
        while (!cancelled) std::this_thread::yield();
    };
    world.hello();
    (void)world.expect<Welcome>();
    world.send(Doctor{});
    CHECK(world.ask<Pong>(Ping{1}).state == "idle");
    Prepare prepare;
    prepare.job_id = AgentWorld::job;
    world.send(prepare);
    (void)world.expect<Diagnosis>();
    CHECK(world.expect<Prepared>().job_id == AgentWorld::job);
}

TEST_CASE("windows/agent: nobody says that the data is safe, so the logs stay") {
    World world{{.complete_within = 1ms}};
    world.hello({"complete"});
    (void)world.expect<Welcome>();
    (void)world.freeze();
    (void)world.ask<Thawed>(thaw_it);
    (void)world.ask<Finished>(good_end);
    while (!world.vss.calls().ends_with("abort release")) std::this_thread::yield();
    CHECK(world.ask<Failure>(Complete{AgentWorld::job, true}).code == "protocol.job");
}

}  // namespace stillpoint::test
