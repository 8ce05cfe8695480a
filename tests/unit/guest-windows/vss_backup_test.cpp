#include "vss/vss_backup.hpp"

#include <doctest/doctest.h>

#include "scripted_vss.hpp"

namespace stillpoint::test {
namespace {

using namespace windows_guest;
using namespace std::chrono_literals;
using Writers = VssOptions::Writers;
using Outcome = VssBackup::Outcome;

PrepareOrder order_within(os::nanoseconds span) {
    return {.volumes = {{"C:\\", "\\\\?\\Volume{1}\\", "NTFS"}}, .until = os::now() + span};
}

std::string next_of(const Attempt& failed, Hresult code, os::nanoseconds left = 60s) {
    const auto next = next_attempt(failed, code, left);
    if (!next) return "no";
    std::string text = next->writers == Writers::all ? "writers" : "bare";
    if (next->context != SnapshotContext::transportable) text += " smaller";
    if (next->repeated) text += " repeated";
    if (next->pause_before > 0ns) text += " after a pause";
    return text;
}

}  // namespace

TEST_CASE("windows/ladder: what follows a failure") {
    const Attempt first;
    CHECK(next_of(first, vss::snapshot_set_in_progress) == "writers after a pause");
    CHECK(next_of(first, vss::snapshot_set_in_progress, 4s) == "no");
    CHECK(next_of(first, vss::bad_state) == "writers repeated");
    CHECK(next_of({.repeated = true}, vss::bad_state) == "no");
    CHECK(next_of(first, vss::unsupported_context) == "writers smaller");
    CHECK(next_of({.context = SnapshotContext::without_transactions}, vss::unsupported_context) ==
          "no");
    CHECK(next_of(first, vss::writer_infrastructure) == "writers repeated");
    CHECK(next_of({.repeated = true}, vss::writer_infrastructure) == "bare");
    CHECK(next_of({.writers = Writers::none, .repeated = true}, vss::writer_infrastructure) ==
          "no");
    CHECK(next_of(first, vss::writer_nonretryable) == "bare");
    CHECK(next_of(first, vss::access_denied) == "no");
    CHECK(next_of(first, vss::service_disabled) == "no");
    CHECK(next_of(first, vss::bad_state, 0s) == "no");
}

TEST_CASE("windows/backup: the whole sequence, and the end that truncates logs") {
    ScriptedVss vss;
    VssBackup backup{vss.opener()};
    const PrepareReport prepared = backup.prepare(order_within(60s));
    REQUIRE(prepared.ready);
    CHECK(prepared.evidence.size() == 3);
    const SnapshotReport taken = backup.snapshot();
    CHECK(taken.taken);
    CHECK(taken.evidence.size() == 3);
    CHECK_FALSE((prepared.retry_later || taken.retry_later));
    CHECK(backup.conclude(Outcome::success).evidence.empty());
    CHECK(vss.calls() == "open add prepare status snapshot status complete status release");
}

TEST_CASE(
    "windows/backup: after a failure there is no BackupComplete, and a new object each time") {
    ScriptedVss vss;
    vss.ends["snapshot"] = {vss::hold_writes_timeout};
    VssBackup backup{vss.opener()};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    const SnapshotReport taken = backup.snapshot();
    CHECK_FALSE(taken.taken);
    CHECK(taken.problem.id == "vss.busy_disks");
    CHECK(taken.retry_later);
    CHECK(backup.conclude(Outcome::success).evidence.empty());
    REQUIRE(backup.prepare(order_within(60s)).ready);
    CHECK(vss.calls() ==
          "open add prepare status snapshot status abort release open add prepare status");
}

TEST_CASE("windows/backup: writers that cannot be reached are given up, and that is told") {
    ScriptedVss vss;
    vss.ends["prepare"] = {vss::writer_infrastructure, vss::writer_infrastructure};
    VssBackup backup{vss.opener()};
    const PrepareReport prepared = backup.prepare(order_within(60s));
    REQUIRE(prepared.ready);
    REQUIRE(prepared.evidence.size() == 1);
    CHECK(prepared.evidence[0].name == "VSS writers");
    CHECK(prepared.retry_later);
    CHECK_FALSE(prepared.evidence[0].quiesced);
    CHECK(prepared.evidence[0].note.find("0x80042318") != std::string::npos);
    CHECK(vss.calls() ==
          "open add prepare abort release open add prepare abort release "
          "open-bare add prepare");
}

TEST_CASE("windows/backup: a status that cannot be read is evidence against the writers") {
    ScriptedVss vss;
    vss.ends["status"] = {vss::ok, vss::writer_not_responding};
    VssBackup backup{vss.opener()};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    const SnapshotReport taken = backup.snapshot();
    REQUIRE(taken.evidence.size() == 1);
    CHECK_FALSE(taken.evidence[0].quiesced);
}

TEST_CASE("windows/backup: a writer that may do better in ten minutes, and one that will not") {
    const auto says = [](Hresult failure) {
        return std::vector<WriterStatus>{
            {"SqlServerWriter", "{}", "{}", WriterState::failed_at_freeze, failure}};
    };
    for (const auto& [failure, expected] :
         {std::pair{vss::writer_timeout, true}, std::pair{vss::writer_nonretryable, false}}) {
        ScriptedVss vss;
        vss.says["prepare"] = says(failure);
        VssBackup backup{vss.opener()};
        CHECK(backup.prepare(order_within(60s)).retry_later == expected);
        vss.says = {{"snapshot", says(failure)}};
        const SnapshotReport taken = backup.snapshot();
        CHECK(taken.taken);
        CHECK(taken.retry_later == expected);
    }
}

TEST_CASE("windows/backup: what fails at the very end is an alert") {
    ScriptedVss vss;
    vss.says["complete"] = {{"SqlServerWriter", "{}", "{}", WriterState::failed_at_backup_complete,
                             vss::writer_timeout}};
    VssBackup backup{vss.opener()};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    REQUIRE(backup.snapshot().taken);
    const ConcludeReport report = backup.conclude(Outcome::success);
    REQUIRE(report.evidence.size() == 1);
    CHECK(report.evidence[0].quiesced);
    CHECK(report.evidence[0].note.find("FAILED_AT_BACKUP_COMPLETE") != std::string::npos);
}

TEST_CASE("windows/backup: somebody else's snapshot is waited for until the job's budget ends") {
    ScriptedVss vss;
    vss.ends["add"] = {vss::snapshot_set_in_progress};
    VssBackup backup{vss.opener()};
    const PrepareReport prepared = backup.prepare(order_within(1s));
    CHECK_FALSE(prepared.ready);
    CHECK(prepared.problem.id == "vss.in_use");
    CHECK(prepared.problem.code == Errc::busy);
    CHECK(prepared.retry_later);
}

}  // namespace stillpoint::test
