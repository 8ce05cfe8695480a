#include "quiesce/level.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

using namespace stillpoint::quiesce;
using namespace stillpoint::serialization;

namespace {

constexpr std::int64_t ms = 1'000'000;

Evidence volume(std::string name, std::string type, std::int64_t duration_ns) {
    Evidence e;
    e.kind = EvidenceKind::filesystem;
    e.name = std::move(name);
    e.type = std::move(type);
    e.quiesced = true;
    e.duration_ns = duration_ns;
    return e;
}

Evidence hook(std::string name, bool succeeded) {
    Evidence e;
    e.kind = EvidenceKind::hook;
    e.name = std::move(name);
    e.quiesced = succeeded;
    return e;
}

/// A whole session without a contradiction: one hook, two filesystems, 41 ms of stillness.
LevelInput good() {
    LevelInput in;
    in.asked = Level::application;
    in.job_id = "job";
    in.lease_id = "lease";
    in.welcome.emplace();
    in.welcome->hooks_configured = true;
    in.welcome->volumes = {{"/", "ext4", "254:0", true, false, ""},
                           {"/data", "xfs", "254:16", true, false, ""}};
    in.prepared = Prepared{"job", {hook("db", true)}, true};
    in.window = HostWindow{1000 * ms, 1010 * ms, 1011 * ms, 1040 * ms, 1041 * ms, 1050 * ms, 0};
    in.frozen = Frozen{
        "lease", 7 * ms, 15 * ms, {volume("/", "ext4", 4 * ms), volume("/data", "xfs", 3 * ms)}};
    in.thawed = Thawed{"lease",
                       true,
                       7 * ms,
                       15 * ms,
                       48 * ms,
                       52 * ms,
                       {volume("/data", "xfs", 42 * ms), volume("/", "ext4", 44 * ms)}};
    in.finished = Finished{"job", {}};
    return in;
}

bool warns(const LevelResult& result, std::string_view code) {
    return std::any_of(result.warnings.begin(), result.warnings.end(),
                       [&](const Warning& w) { return w.code == code; });
}

struct Case {
    const char* code;  // the reason that must be given; "": none
    Level level;
    std::function<void(LevelInput&)> change;
};

void check_case(const Case& item) {
    CAPTURE(item.code);
    LevelInput in = good();
    item.change(in);
    const LevelResult result = compute_level(in);
    CHECK(result.level == item.level);
    if (*item.code != '\0') {
        CHECK(warns(result, item.code));
    } else {
        CHECK(result.warnings.empty());
    }
    if (result.level != Level::crash) return;
    CHECK_FALSE(result.partial);
    for (const Evidence& e : result.evidence) {
        if (e.kind == EvidenceKind::filesystem) CHECK_FALSE(e.quiesced);
    }
}

}  // namespace

TEST_CASE("quiesce/level: a session without contradiction is what was asked") {
    const LevelResult result = compute_level(good());
    CHECK(result.level == Level::application);
    CHECK(result.warnings.empty());
    CHECK_FALSE(result.partial);
    CHECK(result.evidence.size() == 3);
    CHECK(result.frozen_ns == 45 * ms);
}

TEST_CASE("quiesce/level: every missing proof and every contradiction in time is crash") {
    const Case cases[] = {
        {"guest.absent", Level::crash, [](LevelInput& in) { in.welcome.reset(); }},
        {"freeze.missing", Level::crash, [](LevelInput& in) { in.frozen.reset(); }},
        {"thaw.missing", Level::crash, [](LevelInput& in) { in.thawed.reset(); }},
        {"freeze.window", Level::crash, [](LevelInput& in) { in.window.reset(); }},
        {"prepare.wrong_job", Level::crash, [](LevelInput& in) { in.prepared->job_id = "x"; }},
        {"freeze.wrong_lease", Level::crash, [](LevelInput& in) { in.frozen->lease_id = "x"; }},
        {"thaw.wrong_lease", Level::crash, [](LevelInput& in) { in.thawed->lease_id = ""; }},
        {"freeze.not_held", Level::crash, [](LevelInput& in) { in.thawed->held = false; }},
        {"freeze.window", Level::crash,
         [](LevelInput& in) { in.window->snapshot_before_ns = in.window->frozen_received_ns - 1; }},
        {"freeze.window", Level::crash,
         [](LevelInput& in) { in.window->snapshot_after_ns = in.window->thaw_sent_ns + 1; }},
        {"freeze.stamps", Level::crash,
         [](LevelInput& in) { in.thawed->first_freeze_ns = in.frozen->first_freeze_ns = 0; }},
        {"freeze.stamps", Level::crash,
         [](LevelInput& in) { in.thawed->thaw_ns = in.thawed->frozen_ns - 1; }},
        {"freeze.stamps", Level::crash,
         [](LevelInput& in) {
             in.thawed->first_freeze_ns = std::numeric_limits<std::int64_t>::min();
         }},
        {"freeze.stamps_changed", Level::crash, [](LevelInput& in) { in.frozen->frozen_ns += 1; }},
        {"freeze.too_short", Level::crash,  // thawed before the snapshot could have been over
         [](LevelInput& in) { in.thawed->thaw_ns = in.thawed->frozen_ns + 20 * ms; }},
        {"freeze.too_long", Level::crash,
         [](LevelInput& in) { in.thawed->thawed_ns = std::numeric_limits<std::int64_t>::max(); }},
    };
    for (const Case& item : cases) check_case(item);
}

TEST_CASE("quiesce/level: every contradiction about filesystems and hooks is crash") {
    const Case cases[] = {
        {"freeze.volumes_differ", Level::crash,
         [](LevelInput& in) { in.thawed->evidence.pop_back(); }},
        {"freeze.volumes_differ", Level::crash,
         [](LevelInput& in) { in.frozen->evidence[0].quiesced = false; }},
        {"freeze.volumes_differ", Level::crash,
         [](LevelInput& in) { in.thawed->evidence[0].type = "ext4"; }},
        {"freeze.volumes_differ", Level::crash,
         [](LevelInput& in) { in.thawed->evidence[0].excluded = true; }},
        {"freeze.no_filesystem", Level::crash,
         [](LevelInput& in) { in.frozen->evidence.clear(), in.thawed->evidence.clear(); }},
        {"freeze.volume_failed", Level::crash,
         [](LevelInput& in) { in.thawed->evidence[0].quiesced = false; }},
        {"freeze.durations", Level::crash,
         [](LevelInput& in) { in.thawed->evidence[0].duration_ns = 3 * ms; }},
        {"freeze.durations", Level::crash,
         [](LevelInput& in) { in.thawed->evidence[0].duration_ns = 5'000 * ms; }},
        {"finish.missing", Level::crash,
         [](LevelInput& in) {
             in.prepared->freeze_needed = false, in.frozen.reset(), in.finished.reset();
         }},
        {"thaw.missing",
         Level::crash,  // no freeze was needed, but one began and nobody saw its end
         [](LevelInput& in) { in.prepared->freeze_needed = false, in.thawed.reset(); }},
    };
    for (const Case& item : cases) check_case(item);
}

TEST_CASE("quiesce/level: what costs the application level alone, and what costs nothing") {
    const Case cases[] = {
        {"hook.failed", Level::filesystem,
         [](LevelInput& in) { in.prepared->evidence[0].quiesced = false; }},
        {"hook.none", Level::filesystem, [](LevelInput& in) { in.prepared->evidence.clear(); }},
        {"hook.none", Level::filesystem,
         [](LevelInput& in) { in.prepared->evidence[0].excluded = true; }},
        {"", Level::filesystem,
         [](LevelInput& in) { in.prepared->evidence.clear(), in.asked = Level::filesystem; }},
        {"", Level::filesystem,
         [](LevelInput& in) { in.prepared.reset(), in.asked = Level::filesystem; }},
        {"", Level::application,
         [](LevelInput& in) {
             in.prepared->freeze_needed = false, in.frozen.reset(), in.thawed.reset();
         }},
        {"", Level::application, [](LevelInput& in) { in.finished.reset(); }},
        {"", Level::application,  // the VM was stopped for the snapshot and its clock with it
         [](LevelInput& in) {
             in.window->paused_ns = 25 * ms;
             in.thawed->thaw_ns = 30 * ms, in.thawed->thawed_ns = 31 * ms;
             for (Evidence& e : in.thawed->evidence) e.duration_ns = 20 * ms;
         }},
    };
    for (const Case& item : cases) check_case(item);
}

TEST_CASE("quiesce/level: volumes that were not covered make it partial, not lower") {
    LevelInput in = good();
    Evidence efi = volume("/boot/efi", "vfat", 0);
    efi.freezable = false;
    efi.note = "unwritten";
    in.thawed->evidence.push_back(efi);
    efi.quiesced = false;
    in.frozen->evidence.push_back(efi);
    CHECK_FALSE(compute_level(in).partial);

    in.thawed->evidence.back().quiesced = false;
    LevelResult result = compute_level(in);
    CHECK(result.level == Level::application);
    CHECK(result.uncovered == std::vector<std::string>{"/boot/efi"});
    CHECK(warns(result, "volume.uncovered"));

    // The guest's own plan says the same of a filesystem whose evidence does not.
    in.frozen->evidence.back().freezable = in.thawed->evidence.back().freezable = true;
    CHECK(compute_level(in).level == Level::crash);
    in.welcome->volumes.push_back({"/boot/efi", "vfat", "254:1", false, false, ""});
    CHECK(compute_level(in).level == Level::application);

    for (auto* list : {&in.frozen->evidence, &in.thawed->evidence}) list->back().excluded = true;
    result = compute_level(in);
    CHECK(result.partial);
    CHECK(result.warnings.empty());  // left out on purpose: no alarm

    in.welcome->volumes.push_back({"/late", "xfs", "254:2", true, false, ""});
    result = compute_level(in);
    CHECK(result.level == Level::application);
    CHECK(result.uncovered == std::vector<std::string>{"/boot/efi", "/late"});
    CHECK(warns(result, "volume.uncovered"));
}

TEST_CASE("quiesce/level: only the hypervisor's proof makes offline") {
    LevelInput in;
    in.machine = Machine::off_clean;
    CHECK(compute_level(in).level == Level::offline);
    CHECK(compute_level(in).warnings.empty());
    in.machine = Machine::off_unproven;
    CHECK(compute_level(in).level == Level::crash);
    CHECK(warns(compute_level(in), "level.unclean_shutdown"));
}

TEST_CASE("quiesce/level: in all combinations, taking any proof away never raises the level") {
    constexpr unsigned bits = 10;
    const auto build = [](unsigned have) {
        LevelInput in = good();
        if ((have & 1) == 0) in.welcome.reset();
        if ((have & 2) == 0) in.prepared->evidence[0].quiesced = false;
        if ((have & 4) == 0) in.prepared.reset();
        if ((have & 8) == 0) in.frozen.reset();
        if ((have & 16) == 0 && in.frozen) in.frozen->lease_id = "other";
        if ((have & 32) == 0) in.thawed->held = false;
        if ((have & 64) == 0) in.thawed.reset();
        if ((have & 128) == 0) in.window.reset();
        if ((have & 256) == 0) in.finished.reset();
        if ((have & 512) == 0 && in.thawed) in.thawed->evidence[0].quiesced = false;
        return in;
    };
    for (unsigned have = 0; have < 1u << bits; ++have) {
        const LevelResult whole = compute_level(build(have));
        constexpr unsigned freeze_proof = 1 | 8 | 16 | 32 | 64 | 128 | 512;
        const bool frozen = (have & freeze_proof) == freeze_proof;
        const Level expected = !frozen           ? Level::crash
                               : (have & 6) == 6 ? Level::application
                                                 : Level::filesystem;
        REQUIRE(whole.level == expected);
        for (unsigned bit = 0; bit < bits; ++bit) {
            REQUIRE(compute_level(build(have & ~(1u << bit))).level <= whole.level);
        }
    }
}

TEST_CASE("quiesce/level: a hook that lost its hold takes the application level back") {
    Evidence lost = hook("db", false);
    lost.type = "pre";
    LevelInput in = good();
    in.thawed->evidence.push_back(lost);
    LevelResult result = compute_level(in);
    CHECK(result.level == Level::filesystem);
    CHECK(warns(result, "hook.lost"));

    in = good();
    in.prepared->freeze_needed = false;
    in.frozen.reset();
    in.thawed.reset();
    CHECK(compute_level(in).level == Level::application);
    in.finished->evidence.push_back(lost);
    result = compute_level(in);
    CHECK(result.level == Level::crash);
    CHECK(warns(result, "hook.lost"));
    CHECK(judge_finish(in.finished, "job").empty());  // that is no post
}

TEST_CASE("quiesce/level: a refusal counts for its own job") {
    Prepared prepared{"job", {}, true, "hook db: exit code 1"};
    CHECK(refusal_of(prepared, "job") == "hook db: exit code 1");
    CHECK(refusal_of(prepared, "other").empty());
    CHECK(refusal_of(std::nullopt, "job").empty());
    prepared.refusal.clear();
    CHECK(refusal_of(prepared, "job").empty());
}

TEST_CASE("quiesce/level: a failed or missing post hook is an alert") {
    CHECK(judge_finish(Finished{"job", {hook("db", true)}}, "job").empty());
    CHECK(judge_finish(Finished{"job", {hook("db", false)}}, "job").at(0).code ==
          "hook.post_failed");
    CHECK(judge_finish(std::nullopt, "job").at(0).code == "finish.missing");
    CHECK(judge_finish(Finished{"other", {}}, "job").at(0).code == "finish.missing");
}
