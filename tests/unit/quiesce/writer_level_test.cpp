#include <doctest/doctest.h>

#include <algorithm>

#include "quiesce/level.hpp"

namespace stillpoint::test {
namespace {

using namespace serialization;
using quiesce::LevelInput;
using quiesce::LevelResult;

constexpr std::int64_t ms = 1'000'000;

Evidence writer(const std::string& name, bool quiesced, std::string note = "") {
    Evidence evidence;
    evidence.kind = EvidenceKind::writer;
    evidence.name = name;
    evidence.quiesced = quiesced;
    evidence.note = std::move(note);
    return evidence;
}

Evidence volume(std::int64_t duration_ns) {
    Evidence evidence;
    evidence.kind = EvidenceKind::filesystem;
    evidence.name = "C:\\";
    evidence.type = "NTFS";
    evidence.quiesced = true;
    evidence.duration_ns = duration_ns;
    return evidence;
}

/// A Windows guest that held its writes for 60 ms around a snapshot.
LevelInput held_with_writers() {
    LevelInput input;
    input.asked = Level::application;
    input.job_id = "job";
    input.lease_id = "lease";
    input.welcome = Welcome{};
    input.welcome->os = "windows";
    input.prepared =
        Prepared{"job", {writer("System Writer", true), writer("SQL", true)}, true, ""};
    input.frozen = Frozen{"lease", 1'000 * ms, 1'010 * ms, {volume(0)}};
    input.thawed = Thawed{"lease",
                          true,
                          1'000 * ms,
                          1'010 * ms,
                          1'070 * ms,
                          1'071 * ms,
                          {volume(71 * ms), writer("System Writer", true), writer("SQL", true)}};
    input.window =
        quiesce::HostWindow{5'000 * ms, 5'015 * ms, 5'020 * ms, 5'060 * ms, 5'065 * ms, 5'080 * ms};
    return input;
}

bool warns(const LevelResult& result, const std::string& code) {
    return std::ranges::count(result.warnings, code, &Warning::code) > 0;
}

}  // namespace

TEST_CASE("quiesce/writers: all of them stable through the snapshot is application") {
    const LevelResult result = compute_level(held_with_writers());
    CHECK(result.level == Level::application);
    CHECK(result.warnings.empty());
    CHECK(result.evidence.size() == 3);
}

TEST_CASE("quiesce/writers: one that failed in the snapshot makes it filesystem, and is named") {
    LevelInput input = held_with_writers();
    input.thawed->evidence[2] = writer("SQL", false, "FAILED_AT_FREEZE");
    const LevelResult result = compute_level(input);
    CHECK(result.level == Level::filesystem);
    CHECK(warns(result, "writer.failed"));
    const auto sql = std::ranges::find(result.evidence, "SQL", &Evidence::name);
    REQUIRE(sql != result.evidence.end());
    CHECK_FALSE(sql->quiesced);
    CHECK(sql->note == "FAILED_AT_FREEZE");
}

TEST_CASE("quiesce/writers: a second instance of the same name that failed counts as well") {
    LevelInput input = held_with_writers();
    input.thawed->evidence.push_back(writer("SQL", false, "FAILED_AT_THAW"));
    CHECK(compute_level(input).level == Level::filesystem);
}

TEST_CASE("quiesce/writers: who says nothing after the snapshot is no evidence") {
    LevelInput input = held_with_writers();
    input.thawed->evidence.pop_back();
    const LevelResult result = compute_level(input);
    CHECK(result.level == Level::filesystem);
    CHECK(warns(result, "writer.silent"));
    const auto sql = std::ranges::find(result.evidence, "SQL", &Evidence::name);
    CHECK_FALSE(sql->quiesced);
}

TEST_CASE("quiesce/writers: one that is not ready before the snapshot, and one left out") {
    LevelInput input = held_with_writers();
    input.prepared->evidence[1] = writer("SQL", false, "FAILED_AT_PREPARE_BACKUP");
    CHECK(warns(compute_level(input), "writer.failed"));
    input.prepared->evidence[1] = writer("SQL", false);
    input.prepared->evidence[1].excluded = true;
    const LevelResult result = compute_level(input);
    CHECK(result.level == Level::application);
    CHECK(result.partial);
}

TEST_CASE("quiesce/writers: where nothing was thawed nobody said anything after the snapshot") {
    LevelInput input = held_with_writers();
    input.prepared->freeze_needed = false;
    input.frozen.reset();
    input.thawed.reset();
    input.finished = Finished{"job", {}};
    const LevelResult result = compute_level(input);
    CHECK(result.level == Level::crash);
    CHECK(warns(result, "writer.silent"));
    CHECK(std::ranges::none_of(result.evidence, &Evidence::quiesced));
}

TEST_CASE("quiesce/writers: without a hold their word is worth nothing") {
    LevelInput input = held_with_writers();
    input.thawed->held = false;
    CHECK(compute_level(input).level == Level::crash);
}

}  // namespace stillpoint::test
