#include "provider/hold_gate.hpp"

#include <doctest/doctest.h>

#include <future>

#include "service/frozen_frame.hpp"

namespace stillpoint::test {
namespace {

using namespace windows_guest;
using namespace std::chrono_literals;

constexpr HoldGate::SetId set{std::byte{7}};
constexpr HoldGate::SetId other_set{std::byte{8}};
constexpr auto patience = 20s;

struct World {
    os::Event wake;
    HoldGate gate{wake};
    std::future<bool> hold_elsewhere() {
        return std::async(std::launch::async, [this] { return gate.hold(set); });
    }
    void await_hold() {
        while (!gate.holding()) REQUIRE(wake.wait_until(os::now() + patience));
    }
};

}  // namespace

TEST_CASE("windows/gate: a hold lasts until it is released, and is told") {
    World world;
    world.gate.arm();
    REQUIRE(world.gate.begin(set));
    world.gate.freezing(set);
    auto held = world.hold_elsewhere();
    world.await_hold();
    CHECK(world.gate.end() == HoldGate::End::none);
    world.gate.release();
    CHECK(held.get());
    CHECK(world.gate.end() == HoldGate::End::released);
    CHECK(world.gate.first_freeze() <= world.gate.frozen());
    CHECK(world.gate.frozen() <= world.gate.thawed());
}

TEST_CASE("windows/gate: nobody releases it, so it ends by itself with a veto") {
    World world;
    world.gate.arm();
    world.gate.limit(20ms);
    REQUIRE(world.gate.begin(set));
    CHECK_FALSE(world.gate.hold(set));
    CHECK(world.gate.end() == HoldGate::End::expired);
    CHECK(world.gate.thawed() - world.gate.frozen() >= 20ms);
}

TEST_CASE("windows/gate: unless our own job runs, nothing is ours") {
    World world;
    CHECK_FALSE(world.gate.armed());
    CHECK_FALSE(world.gate.begin(set));
    CHECK_FALSE(world.gate.hold(set));
    world.gate.arm();
    world.gate.disarm();
    CHECK_FALSE(world.gate.begin(set));
}

TEST_CASE("windows/gate: another set, a second hold and one after the release are vetoed") {
    World world;
    world.gate.arm();
    REQUIRE(world.gate.begin(set));
    CHECK_FALSE(world.gate.hold(other_set));
    world.gate.release();
    CHECK_FALSE(world.gate.hold(set));
    world.gate.arm();
    REQUIRE(world.gate.begin(set));
    world.gate.limit(1ms);
    CHECK_FALSE(world.gate.hold(set));
    const os::nanoseconds let_go = world.gate.thawed();
    CHECK_FALSE(world.gate.hold(set));
    CHECK(world.gate.thawed() == let_go);  // at once: nothing is held a second time
}

TEST_CASE("windows/gate: the thaw of an earlier job does not release a later one") {
    World world;
    world.gate.arm();
    world.gate.release();
    world.gate.arm();
    REQUIRE(world.gate.begin(set));
    auto held = world.hold_elsewhere();
    world.await_hold();
    CHECK(world.gate.holding());
    world.gate.release();
    CHECK(held.get());
}

TEST_CASE("windows/frozen: the frame made before the window is the one that would be made in it") {
    serialization::Frozen message{"00112233445566778899aabbccddeeff", 0, 0, {}};
    for (const char* name : {"C:\\", "D:\\Daten\xc3\xa4\\", "bad \xff\xfe text"}) {
        serialization::Evidence evidence;
        evidence.kind = serialization::EvidenceKind::filesystem;
        evidence.name = name;
        evidence.quiesced = true;
        message.evidence.push_back(evidence);
        FrozenFrame frame{0x0123456789abcdef, message};
        const auto now = os::now().count();
        const Bytes filled = to_bytes(frame.fill(7, now, now + 1'000'000));
        message.first_freeze_ns = now;
        message.frozen_ns = now + 1'000'000;
        CHECK(filled == serialization::encode_frame(
                            {0x0123456789abcdef, 7, serialization::encode_message(message)}));
    }
}

}  // namespace stillpoint::test
