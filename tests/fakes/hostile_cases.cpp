#include <limits>
#include <utility>

#include "fakes/fake_extension.hpp"
#include "support/instrumented.hpp"

namespace stillpoint::fakes {
namespace {

using serialization::Frozen;
using serialization::Level;
using serialization::Message;
using serialization::Thawed;
using serialization::Welcome;

/// Changes the answers of one kind alone.
template <class T, class F>
std::function<void(Message&)> alter(F change) {
    return [change](Message& message) {
        if (auto* item = std::get_if<T>(&message)) change(*item);
    };
}

HostileCase level_case(std::string name, std::string reason, std::function<void(Message&)> change) {
    HostileCase out{{}, Level::crash, std::move(reason)};
    out.script.name = std::move(name);
    out.script.alter = std::move(change);
    return out;
}

HostileCase misdeed_case(std::string name, std::string_view at, Misdeed misdeed,
                         std::string reason) {
    HostileCase out{{}, Level::crash, std::move(reason)};
    out.script.name = std::move(name) + " at " + std::string(at);
    out.script.at = at;
    out.script.misdeed = misdeed;
    return out;
}

HostileCase frame_case(std::string name, std::string reason,
                       std::function<void(serialization::Frame&, std::string_view)> change) {
    HostileCase out{{}, Level::crash, std::move(reason)};
    out.script.name = std::move(name);
    out.script.alter_frame = std::move(change);
    return out;
}

/// Noise that is survived without a loss.
HostileCase harmless(std::string name, Bytes greeting, std::size_t chatter_bytes) {
    HostileCase out{{}, Level::application, ""};
    out.script.name = std::move(name);
    out.script.greeting = std::move(greeting);
    out.script.chatter_bytes = chatter_bytes;
    return out;
}

Bytes noise(std::size_t count) {
    Bytes out(count);
    std::uint32_t x = 2463534242;  // xorshift: the same noise in every run
    for (std::byte& b : out) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        b = static_cast<std::byte>(x);
    }
    return out;
}

Bytes forged_headers(std::size_t count) {
    Bytes out;
    ByteWriter writer{out};
    while (out.size() < count) {
        writer.raw(as_bytes("SPF1")).u32(serialization::frame_version).u64(1).u32(1).u32(1u << 20);
    }
    return out;
}

Bytes torn_frame() {
    const Bytes whole = serialization::encode_frame({1, 1, noise(100'000)});
    return to_bytes(ByteView{whole}.first(50'000));
}

void add_noise(std::vector<HostileCase>& out) {
    out.push_back(harmless("garbage first", noise(300'000), 0));
    out.push_back(harmless("the end of an old frame first", noise(17), 0));
    out.push_back(harmless("an old frame torn off", torn_frame(), 0));
    out.push_back(harmless("forged headers first", forged_headers(400'000), 0));
    out.push_back(harmless("megabytes of log", {}, 2'000'000 / (test::slowness * test::slowness)));
    out.push_back(frame_case("another frame version", "guest.version",
                             [](auto& frame, auto) { frame.session = 0; }));
    // Its frames cannot be read at all: what is seen of them is the version byte.
    out.back().script.at = "Hello";
    out.back().script.misdeed = Misdeed::silence;
    out.back().script.greeting = to_bytes(as_bytes(std::string_view{"SPF1\2\0\0\0", 8}));
    out.back().script.greeting.resize(100);
}

void add_misdeeds(std::vector<HostileCase>& out) {
    out.push_back(misdeed_case("silent", "Hello", Misdeed::silence, "guest.silent"));
    for (const char* at : {"Prepare", "Freeze", "Thaw"}) {
        out.push_back(misdeed_case("silent", at, Misdeed::silence, "guest.timeout"));
        out.push_back(misdeed_case("trickles", at, Misdeed::trickle, "guest.timeout"));
    }
    for (const char* at : {"Hello", "Prepare", "Freeze", "Thaw"}) {
        out.push_back(misdeed_case("closes", at, Misdeed::close, "socket.closed"));
        out.push_back(misdeed_case("talks without end", at, Misdeed::endless, "guest.protocol"));
    }
    out.push_back(misdeed_case("silent", "Finish", Misdeed::silence, "guest.timeout"));
    out.back().level = Level::application;  // what matters was proven before
}

void add_frames(std::vector<HostileCase>& out) {
    out.push_back(frame_case("answers for another session", "guest.silent",
                             [](auto& frame, auto) { ++frame.session; }));
    out.push_back(frame_case("repeats one sequence number", "guest.timeout",
                             [](auto& frame, auto) { frame.sequence = 1; }));
    out.push_back(frame_case("a payload that is no message", "guest.protocol",
                             [](auto& frame, auto) { frame.payload = noise(200); }));
    out.push_back(
        frame_case("a member of the wrong kind", "guest.protocol", [](auto& frame, auto kind) {
            if (kind != "Frozen") return;
            frame.payload = serialization::to_cbor(
                *serialization::parse_json(R"({"kind":"Frozen","body":{"frozen_ns":"soon"}})"));
        }));
}

void add_versions(std::vector<HostileCase>& out) {
    out.push_back(level_case("chooses a version of its own", "guest.version",
                             alter<Welcome>([](Welcome& w) { w.version = 7; })));
    out.push_back(level_case("refuses our versions", "guest.version", [](Message& message) {
        message = serialization::Failure{"protocol.version", false, "no common version"};
    }));
    out.push_back(level_case("more volumes than a guest can have", "guest.protocol",
                             alter<Welcome>([](Welcome& w) { w.volumes.resize(5000); })));
}

void add_claims(std::vector<HostileCase>& out) {
    constexpr auto huge = std::numeric_limits<std::int64_t>::max();
    constexpr auto tiny = std::numeric_limits<std::int64_t>::min();
    const auto add = [&](const char* name, const char* reason,
                         std::function<void(Message&)> change) {
        out.push_back(level_case(name, reason, std::move(change)));
    };
    add("Prepared for another job", "prepare.wrong_job",
        alter<serialization::Prepared>([](auto& p) { p.job_id = "other"; }));
    add("Frozen with a wrong lease", "freeze.wrong_lease",
        alter<Frozen>([](Frozen& f) { f.lease_id = "other"; }));
    add("Thawed with a wrong lease", "thaw.wrong_lease",
        alter<Thawed>([](Thawed& t) { t.lease_id = "other"; }));
    add("thawed before it was asked", "freeze.not_held",
        alter<Thawed>([](Thawed& t) { t.held = false; }));
    add("stamps out of order", "freeze.stamps", alter<Thawed>([](Thawed& t) { t.thaw_ns = 1; }));
    add("stamps at the ends of the range", "freeze.stamps",
        alter<Thawed>([](Thawed& t) { t.first_freeze_ns = tiny, t.thawed_ns = huge; }));
    add("stamps that changed", "freeze.stamps_changed",
        alter<Frozen>([](Frozen& f) { ++f.frozen_ns; }));
    add("frozen for centuries", "freeze.too_long",
        alter<Thawed>([](Thawed& t) { t.thawed_ns = huge; }));
    add("no filesystem at all", "freeze.volumes_differ",
        alter<Thawed>([](Thawed& t) { t.evidence.clear(); }));
    add("a filesystem that did not freeze", "freeze.volumes_differ",
        alter<Frozen>([](Frozen& f) { f.evidence.at(0).quiesced = false; }));
    add("a filesystem that did not hold", "freeze.volume_failed",
        alter<Thawed>([](Thawed& t) { t.evidence.at(0).quiesced = false; }));
    add("an error in place of Frozen", "guest.error", alter<Frozen>([](Frozen&) {}));
    out.back().script.alter = [](Message& message) {
        if (std::holds_alternative<Frozen>(message)) {
            message =
                serialization::Failure{"freeze.foreign", false, "\x1b[31msomebody else froze"};
        }
    };
    add("another answer in place of Frozen", "guest.timeout", [](Message& message) {
        if (std::holds_alternative<Frozen>(message)) message = serialization::Pong{};
    });
}

}  // namespace

std::vector<HostileCase> hostile_cases() {
    std::vector<HostileCase> out;
    add_noise(out);
    add_misdeeds(out);
    add_frames(out);
    add_versions(out);
    add_claims(out);
    for (HostileCase& item : out) {
        item.times_out = item.reason == "guest.timeout" || item.reason == "guest.silent" ||
                         item.script.misdeed == Misdeed::silence;
    }
    return out;
}

}  // namespace stillpoint::fakes
