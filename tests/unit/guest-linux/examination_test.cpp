#include "freeze/examination.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "service/doctor.hpp"
#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using serialization::Finding;

namespace {

const Finding* find(const std::vector<Finding>& findings, const std::string& id) {
    const auto found = std::ranges::find(findings, id, &Finding::id);
    return found == findings.end() ? nullptr : &*found;
}

Target target(const std::string& name, const std::string& type) {
    Target made{name, type, {254, 1}};
    made.candidates = {{Mount{}, Candidate::Reach::path}};
    return made;
}

}  // namespace

TEST_CASE("guest-linux/doctor: a plain machine has nothing to repair") {
    FreezePlan plan;
    plan.targets = {target("/", "ext4")};
    const auto findings = judge_plan(plan, {});
    CHECK(findings.empty());
    CHECK(!serialization::needs_repair({0, {}, findings}));
    CHECK(judge_dry_run({.name = "/", .freeze_ns = 60'000'000}, nullptr).empty());
}

TEST_CASE("guest-linux/doctor: each trouble has an id, a severity and a remedy") {
    FreezePlan plan;
    plan.targets = {target("/a", "ext4"), target("/b", "vfat"), target("/c", "xfs")};
    plan.targets[0].level = 2;
    plan.targets[0].listener = "scanner (pid 9)";
    plan.targets[1].can_freeze = false;
    plan.targets[2].candidates[0].reach = Candidate::Reach::hidden;
    plan.uncovered = {{"/ntfs", "fuseblk", {8, 1}, false, "served by a program"},
                      {"/skip", "ext4", {8, 2}, true, "excluded in guest.xml"}};
    plan.unmatched = {"path=\"/nowhere\""};
    ProcessScan scan;
    scan.complete = false;
    scan.listeners.push_back({9, "scanner", {}, {}, {}});
    const auto findings = judge_plan(plan, scan);
    for (const char* id : {"doctor.stacked", "doctor.unfreezable", "doctor.hidden",
                           "doctor.excluded", "doctor.listeners", "doctor.scan"}) {
        CAPTURE(id);
        REQUIRE(find(findings, id) != nullptr);
        CHECK(find(findings, id)->severity == "note");
    }
    for (const char* id : {"doctor.listener", "doctor.uncovered", "doctor.rule"}) {
        CAPTURE(id);
        REQUIRE(find(findings, id) != nullptr);
        CHECK(find(findings, id)->severity == "warning");
        CHECK(!find(findings, id)->remedy.empty());
    }
    CHECK(serialization::needs_repair({0, {}, findings}));
    CHECK(find(judge_plan({}, {}), "freeze.nothing")->severity == "error");
}

TEST_CASE("guest-linux/doctor: a dry run that fails or is slow is told") {
    const Error foreign{Errc::busy, "freeze.foreign", "/ is already frozen", "let it finish"};
    const auto failed = judge_dry_run({.name = "/"}, &foreign);
    REQUIRE(failed.size() == 1);
    CHECK(failed[0].id == "freeze.foreign");
    CHECK(failed[0].severity == "error");
    CHECK(failed[0].remedy == "let it finish");
    const auto slow = judge_dry_run({.name = "/", .freeze_ns = 1'500'000'000}, nullptr);
    REQUIRE(slow.size() == 1);
    CHECK(slow[0].text.find("1500 ms") != std::string::npos);
}

TEST_CASE("guest-linux/doctor: other programs that freeze are known by name") {
    const test::TempFolder proc;
    proc.file("7/comm", "qemu-ga\n");
    proc.file("8/comm", "bash\n");
    proc.file("self/comm", "qemu-ga\n");
    const auto findings = find_other_freezers(proc.path());
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].object == "qemu-ga (pid 7)");
}
