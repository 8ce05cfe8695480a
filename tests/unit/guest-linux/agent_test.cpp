#include <doctest/doctest.h>

#include <algorithm>

#include "agent_host.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace stillpoint::serialization;
using namespace stillpoint::test;
using namespace std::chrono_literals;
using Mood = FakeEngine::Mood;

namespace {

struct Guest : AgentHost {
    explicit Guest(Mood mood = Mood::good, bool hooks = false, const std::string& pre_body = "") {
        if (hooks) {
            config.hook.emplace();
            config.hook->name = "guest.xml";
            config.hook->pre = hook("pre", pre_body);
            config.hook->post = hook("post-$STILLPOINT_RESULT");
        }
        start(config, mood);
        greet();
    }
    Prepared prepare() {
        Prepare request{.job_id = "job", .wanted = Level::application};
        request.hooks_budget_ns = 20'000'000'000;
        return ask<Prepared>(request);
    }
    Frozen freeze() { return ask<Frozen>(Freeze{.lease_id = "lease"}); }
    Thawed thaw() { return ask<Thawed>(Thaw{.lease_id = "lease", .snapshot_taken = true}); }
    Finished finish(bool success = true) { return ask<Finished>(Finish{"job", success}); }
    GuestConfig config{.hooks_folder = folder() / "hooks.d"};
};

}  // namespace

TEST_CASE("guest-linux/agent: a whole session with hooks") {
    Guest guest{Mood::good, true};
    const Prepared prepared = guest.prepare();
    CHECK(prepared.job_id == "job");
    REQUIRE(prepared.evidence.size() == 1);
    CHECK(prepared.evidence[0].kind == EvidenceKind::hook);
    CHECK(prepared.evidence[0].quiesced);
    const Frozen frozen = guest.freeze();
    CHECK(frozen.lease_id == "lease");
    CHECK(frozen.evidence.size() == 1);
    CHECK(guest.ask<Pong>(Ping{7}).state == "frozen");
    const Thawed thawed = guest.thaw();
    CHECK(thawed.held);
    CHECK(thawed.lease_id == "lease");
    CHECK(thawed.first_freeze_ns == frozen.first_freeze_ns);
    CHECK(thawed.frozen_ns == frozen.frozen_ns);
    CHECK(thawed.thaw_ns > thawed.frozen_ns);
    CHECK(guest.thaw().held);  // repeated: the same answer
    const Finished finished = guest.finish();
    CHECK(finished.job_id == "job");
    REQUIRE(finished.evidence.size() == 1);
    CHECK(finished.evidence[0].quiesced);
    CHECK(guest.record() == "pre freeze hold=5000 thaw post-success");
}

TEST_CASE("guest-linux/agent: Welcome tells who it is and what could be frozen") {
    Guest guest{Mood::good, true};
    const Welcome welcome = guest.greet();
    CHECK(welcome.os == "linux");
    CHECK(welcome.agent_version == STILLPOINT_VERSION);
    CHECK(welcome.hooks_configured);
    CHECK(welcome.volumes.size() == 1);
    CHECK(!welcome.os_release.empty());
    const Welcome again = guest.ask<Welcome>(Hello{});  // the host repeats it until it hears us
    CHECK(again.volumes.size() == 1);
    guest.session += 1;
    guest.sequence = 0;
    CHECK(guest.ask<Failure>(Hello{.version_min = 90, .version_max = 99}).code ==
          "protocol.version");
}

TEST_CASE(
    "guest-linux/agent: without hooks there is no hook evidence; the host may ask for less time") {
    Guest guest;
    CHECK(guest.prepare().evidence.empty());
    guest.ask<Frozen>(Freeze{.lease_id = "lease", .hold_budget_ns = 700'000'000});
    guest.thaw();
    CHECK(guest.finish().evidence.empty());
    CHECK(guest.record() == "freeze hold=700 thaw");
}

TEST_CASE("guest-linux/agent: a failed pre hook is told and undone before the freeze") {
    Guest guest{Mood::good, true, "echo no database >&2; exit 3"};
    const Prepared prepared = guest.prepare();
    REQUIRE(prepared.evidence.size() == 1);
    CHECK(!prepared.evidence[0].quiesced);
    CHECK(prepared.evidence[0].note == "exit code 3: no database");
    CHECK(prepared.freeze_needed);
    guest.freeze();
    guest.thaw();
    CHECK(guest.finish(false).evidence.size() == 1);
    CHECK(guest.record() == "pre post-aborted freeze hold=5000 thaw");
}

TEST_CASE("guest-linux/agent: requests out of order, of another lease or job are refused") {
    Guest guest;
    CHECK(guest.ask<Failure>(Freeze{.lease_id = "lease"}).code == "protocol.order");
    guest.prepare();
    guest.freeze();
    CHECK(guest.ask<Failure>(Thaw{.lease_id = "other"}).code == "protocol.lease");
    CHECK(guest.ask<Failure>(Finish{"job", true}).code == "protocol.order");
    CHECK(guest.ask<Failure>(Prepare{.job_id = "job2"}).code == "protocol.order");
    CHECK(guest.thaw().held);
    CHECK(guest.ask<Failure>(Finish{"other", true}).code == "protocol.job");
    CHECK(guest.finish().job_id == "job");
}

TEST_CASE(
    "guest-linux/agent: unknown kinds and malformed bodies are answered, garbage is skipped") {
    Guest guest;
    CHECK(guest.ask<Failure>(Pong{}).code == "protocol.unknown");
    const Bytes unknown = to_cbor(Value{Map{{"kind", Value{"Levitate"}}, {"body", Value{Map{}}}}});
    guest.send_raw(encode_frame({guest.session, ++guest.sequence, unknown}));
    CHECK(guest.expect<Failure>().code == "protocol.unknown");
    guest.send_raw(encode_frame({guest.session, ++guest.sequence, to_bytes(as_bytes("no cbor"))}));
    CHECK(guest.expect<Failure>().code == "protocol.malformed");
    guest.send_raw(as_bytes("SPF1 this is not a frame, nor is SPF1 this"));
    CHECK(guest.ask<Pong>(Ping{3}).number == 3);
    // Another session's frames, and repeated ones, mean nothing.
    guest.send_raw(encode_frame({77, 1, encode_message(Prepare{.job_id = "evil"})}));
    guest.send_raw(encode_frame({guest.session, 1, encode_message(Prepare{.job_id = "old"})}));
    CHECK(guest.ask<Pong>(Ping{4}).state == "idle");
}

TEST_CASE("guest-linux/agent: a freeze that fails is an error with its code, and is rolled back") {
    Guest guest{Mood::foreign, true};
    guest.prepare();
    const Failure failure = guest.ask<Failure>(Freeze{.lease_id = "lease"});
    CHECK(failure.code == "freeze.foreign");
    CHECK(failure.retriable);
    CHECK(!guest.thaw().held);
    guest.finish(false);
    CHECK(guest.record() == "pre freeze thaw post-failure");
}

TEST_CASE("guest-linux/agent: pings are answered while a hook runs and while a freeze hangs") {
    {
        Guest guest{Mood::good, true, "sleep 1"};
        guest.send(Prepare{.job_id = "job", .wanted = Level::application});
        CHECK(guest.record_becomes("pre"));
        CHECK(guest.ask<Pong>(Ping{1}).state == "preparing");
        guest.expect<Prepared>();
    }
    Guest guest{Mood::hanging};
    guest.prepare();
    guest.send(Freeze{.lease_id = "lease"});
    CHECK(guest.ask<Pong>(Ping{1}).state == "freezing");
    CHECK(!guest.thaw().held);  // a Thaw ends it
    CHECK(guest.record() == "freeze thaw");
}

TEST_CASE("guest-linux/agent: SIGHUP reads the configuration anew, a wrong one changes nothing") {
    Guest guest;
    guest.reload("<guest><freeze exclude='/a'/></guest>");
    CHECK(guest.record_becomes("rules exclude 1"));
    guest.reload("<guest><freeze exclude='relative'/></guest>");
    CHECK(guest.record_becomes("rules exclude 1 refused"));
    CHECK(guest.ask<Pong>(Ping{1}).state == "idle");
    guest.reload("<guest/>");
    CHECK(guest.record_becomes("rules exclude 1 refused rules exclude 0"));
}

TEST_CASE("guest-linux/agent: a backup keeps the configuration that it began with") {
    Guest guest;
    guest.prepare();
    guest.reload("<guest><freeze exclude='/a'/></guest>");
    guest.freeze();
    CHECK(guest.thaw().held);
    CHECK(guest.record() == "freeze hold=5000 thaw");
    guest.finish();
    CHECK(guest.record_becomes("freeze hold=5000 thaw rules exclude 1"));
}

TEST_CASE("guest-linux/agent: the doctor answers when idle, and a backup ends it early") {
    {
        Guest guest;
        fs::create_directories(guest.folder() / "hooks.d/50-db");
        const auto found = guest.ask<serialization::Diagnosis>(serialization::Doctor{});
        REQUIRE(found.mounts.size() == 1);
        CHECK(found.mounts[0].froze);
        CHECK(found.realtime_ns > 1'700'000'000'000'000'000);
        CHECK(std::ranges::any_of(found.findings, [](const serialization::Finding& finding) {
            return finding.object == "50-db" && finding.severity == "error";
        }));
        CHECK(!guest.ask<serialization::Diagnosis>(serialization::Doctor{false}).mounts[0].froze);
        CHECK(guest.record() == "dry run look");
        guest.prepare();
        CHECK(guest.ask<Failure>(serialization::Doctor{}).code == "protocol.order");
    }
    Guest guest{Mood::hanging};
    guest.send(serialization::Doctor{});
    CHECK(guest.ask<Pong>(Ping{1}).state == "idle");
    CHECK(guest.ask<Failure>(serialization::Doctor{}).code == "protocol.order");
    guest.send(Prepare{.job_id = "job"});
    guest.expect<serialization::Diagnosis>();
    guest.expect<Prepared>();
}

TEST_CASE("guest-linux/agent: a cancel kills the pre hook and runs the post hook once") {
    Guest guest{Mood::good, true, "sleep 30"};
    guest.send(Prepare{.job_id = "job", .wanted = Level::application});
    CHECK(guest.record_becomes("pre"));
    const Finished finished = guest.ask<Finished>(Cancel{"enough"});
    CHECK(finished.evidence.size() == 1);
    CHECK(guest.record() == "pre post-aborted");
    CHECK(guest.ask<Pong>(Ping{1}).state == "idle");
}

TEST_CASE("guest-linux/agent: a lost channel in the window thaws and runs the post hook once") {
    Guest guest{Mood::good, true};
    guest.prepare();
    guest.freeze();
    guest.hang_up();
    CHECK(guest.record_becomes("pre freeze hold=5000 thaw post-failure"));
    guest.accept();
    guest.greet();
    CHECK(guest.ask<Pong>(Ping{1}).state == "idle");
}

TEST_CASE("guest-linux/agent: a Hello of another session ends the old one before it is answered") {
    Guest guest{Mood::good, true};
    guest.prepare();
    guest.freeze();
    guest.greet();
    CHECK(guest.record() == "pre freeze hold=5000 thaw post-failure");
    guest.prepare();
    guest.finish();
    CHECK(guest.record() == "pre freeze hold=5000 thaw post-failure pre post-success");
}

TEST_CASE("guest-linux/agent: a passed deadline thaws; the late Thaw is told that nothing held") {
    Guest guest;
    guest.prepare();
    guest.ask<Frozen>(
        Freeze{.lease_id = "lease", .hold_budget_ns = 1});  // the guest's least: 100 ms
    CHECK(guest.record_becomes("freeze hold=100 thaw"));
    CHECK(guest.ask<Pong>(Ping{1}).state == "thawed");
    CHECK(!guest.thaw().held);
}

TEST_CASE("guest-linux/agent: a freeze that breaks is thawed at once") {
    Guest guest{Mood::breaking};
    guest.prepare();
    guest.freeze();
    CHECK(guest.record_becomes("freeze hold=5000 thaw"));
    CHECK(!guest.thaw().held);
}

TEST_CASE("guest-linux/agent: asked to stop it thaws, runs the post hook and ends") {
    Guest guest{Mood::good, true};
    guest.prepare();
    guest.freeze();
    guest.stop_agent();
    CHECK(guest.agent_exit() == 0);
    CHECK(guest.record() == "pre freeze hold=5000 thaw post-failure");
}

TEST_CASE(
    "guest-linux/agent: killed after pre, its next start ends the hook before anything else") {
    Guest guest{Mood::good, true};
    guest.prepare();
    guest.kill_agent();
    CHECK(guest.record() == "pre");
    guest.start(guest.config, Mood::good);
    const Welcome welcome = guest.greet();
    CHECK(guest.record() == "pre post-aborted");
    CHECK(welcome.journal == "recovered: guest.xml: post succeeded;");
    guest.prepare();
    guest.kill_agent();
    guest.start(guest.config, Mood::good);
    guest.greet();
    CHECK(guest.record() == "pre post-aborted pre post-aborted");
    guest.prepare();
    guest.finish();
    CHECK(guest.greet().journal == "clean");
}

TEST_CASE("guest-linux/agent: killed while pre runs, it is killed and then aborted once") {
    Guest guest{Mood::good, true, "sleep 30; echo never >>record"};
    guest.send(Prepare{.job_id = "job", .wanted = Level::application});
    CHECK(guest.record_becomes("pre"));
    guest.kill_agent();
    guest.start(guest.config, Mood::good);
    guest.greet();
    CHECK(guest.record() == "pre post-aborted");
}

TEST_CASE("guest-linux/agent: killed while post runs, post goes on and is not run again") {
    Guest guest{Mood::good, true};
    guest.config.hook->post =
        guest.hook("post", "sleep 1; printf 'done ' >>$STILLPOINT_HOOK_DIR/record");
    guest.config.hook->folder = guest.folder();
    guest.kill_agent();
    guest.start(guest.config, Mood::good);
    guest.greet();
    guest.prepare();
    guest.send(Finish{"job", true});
    CHECK(guest.record_becomes("pre post"));
    guest.kill_agent();
    guest.start(guest.config, Mood::good);
    const Welcome welcome = guest.greet();
    CHECK(guest.record() == "pre post done");
    CHECK(welcome.journal == "recovered: guest.xml: its end was under way and is not repeated;");
}
