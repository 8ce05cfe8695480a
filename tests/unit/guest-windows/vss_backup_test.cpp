#include "vss/vss_backup.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

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

/// Time that passes only where somebody waits.
struct FakeTime {
    os::nanoseconds now{100s};
    std::vector<os::nanoseconds> waited;
    VssBackup::Parts parts(ScriptedVss& vss) {
        return {.open = vss.opener(),
                .repair = [this] { ++repairs; },
                .now = [this] { return now; },
                .wait =
                    [this](os::Event& event, os::nanoseconds until) {
                        waited.push_back(until - now);
                        now = std::max(now, until);
                        return event.wait_until(0s);
                    }};
    }
    [[nodiscard]] PrepareOrder order_within(os::nanoseconds span) const {
        return {.volumes = {{"C:\\", "\\\\?\\Volume{1}\\", "NTFS"}}, .until = now + span};
    }
    int repairs = 0;
};

std::string next_of(const Attempt& failed, Hresult code, os::nanoseconds left = 60s) {
    const auto next = next_attempt(failed, code, left);
    if (!next) return "no";
    std::string text = next->writers == Writers::all ? "writers" : "bare";
    if (next->context != SnapshotContext::transportable) text += " smaller";
    if (next->repeated) text += " repeated";
    if (next->repaired) text += " repaired";
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
    CHECK(next_of(first, vss::writer_infrastructure) == "writers repeated after a pause");
    CHECK(next_of(first, vss::unexpected_writer_error) == "writers repeated");
    CHECK(next_of(first, vss::provider_not_registered) == "writers repaired");
    CHECK(next_of({.repaired = true}, vss::provider_not_registered) == "no");
    CHECK(next_of({.repeated = true}, vss::writer_infrastructure) == "bare");
    CHECK(next_of({.writers = Writers::none, .repeated = true}, vss::writer_infrastructure) ==
          "no");
    CHECK(next_of(first, vss::writer_nonretryable) == "bare");
    CHECK(next_of(first, vss::access_denied) == "no");
    CHECK(next_of(first, vss::service_disabled) == "no");
    CHECK(next_of(first, vss::bad_state, 0s) == "no");
}

TEST_CASE("windows/ladder: services get a minute to come back, or half of what is left") {
    const auto pause = [](os::nanoseconds left) {
        return next_attempt({}, vss::writer_infrastructure, left)->pause_before;
    };
    CHECK(pause(10min) == 60s);
    CHECK(pause(60s) == 30s);
    CHECK(next_attempt({}, vss::writer_not_responding, 10min)->pause_before == 60s);
    CHECK(next_attempt({}, vss::snapshot_set_in_progress, 10min)->pause_before == 5s);
    CHECK(next_attempt({}, vss::unexpected_writer_error, 10min)->pause_before == 0s);
}

TEST_CASE("windows/backup: the whole sequence, and the end that truncates logs") {
    ScriptedVss vss;
    VssBackup backup{{vss.opener()}};
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
    VssBackup backup{{vss.opener()}};
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
    FakeTime time;
    VssBackup backup{time.parts(vss)};
    const PrepareReport prepared = backup.prepare(time.order_within(60s));
    CHECK(time.waited == std::vector<os::nanoseconds>{30s, 0s});
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
    VssBackup backup{{vss.opener()}};
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
        VssBackup backup{{vss.opener()}};
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
    VssBackup backup{{vss.opener()}};
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
    VssBackup backup{{vss.opener()}};
    const PrepareReport prepared = backup.prepare(order_within(1s));
    CHECK_FALSE(prepared.ready);
    CHECK(prepared.problem.id == "vss.in_use");
    CHECK(prepared.problem.code == Errc::busy);
    CHECK(prepared.retry_later);
}

TEST_CASE("windows/backup: a cancel that comes before VSS's object is there ends the attempt") {
    ScriptedVss vss;
    VssBackup backup{{vss.opener()}};
    backup.cancel();
    const PrepareReport cut = backup.prepare(order_within(60s));
    CHECK_FALSE(cut.ready);
    CHECK(cut.problem.id == "vss.cancelled");
    backup.rearm();
    CHECK(backup.prepare(order_within(60s)).ready);
}

TEST_CASE("windows/backup: a cancel ends the pause before another attempt") {
    ScriptedVss vss;
    vss.ends["add"] = {vss::snapshot_set_in_progress};
    FakeTime time;
    VssBackup::Parts parts = time.parts(vss);
    std::optional<VssBackup> backup;
    parts.wait = [&](os::Event& event, os::nanoseconds) {
        backup->cancel();
        return event.wait_until(0s);
    };
    backup.emplace(parts);
    CHECK_FALSE(backup->prepare(time.order_within(60s)).ready);
    CHECK(vss.calls() == "open add abort release");
}

TEST_CASE("windows/backup: a registration that was lost is put right once, and the attempt anew") {
    ScriptedVss vss;
    vss.ends["add"] = {vss::provider_not_registered};
    FakeTime time;
    VssBackup backup{time.parts(vss)};
    CHECK(backup.prepare(time.order_within(60s)).ready);
    CHECK(time.repairs == 1);
    CHECK(vss.calls() == "open add abort release open add prepare status");
    vss.ends["add"] = {vss::provider_not_registered, vss::provider_not_registered};
    const PrepareReport lost = backup.prepare(time.order_within(60s));
    CHECK(lost.problem.id == "vss.provider");
    CHECK(lost.problem.code == Errc::unsupported);
    CHECK_FALSE((lost.ready || lost.retry_later));
    CHECK(time.repairs == 2);
}

TEST_CASE("windows/backup: a volume that VSS does not take is left out and named, never the last") {
    ScriptedVss vss;
    PrepareOrder order = order_within(60s);
    order.volumes.push_back({"D:\\", "\\\\?\\Volume{2}\\", "NTFS"});
    order.volumes.push_back({"E:\\", "\\\\?\\Volume{3}\\", "NTFS"});
    vss.ends["add D:\\"] = {vss::volume_not_supported};
    vss.ends["add E:\\"] = {vss::object_not_found};
    VssBackup backup{{vss.opener()}};
    const PrepareReport prepared = backup.prepare(order);
    REQUIRE(prepared.ready);
    REQUIRE(prepared.left_out.size() == 2);
    CHECK(prepared.left_out[0].volume == "D:\\");
    CHECK(prepared.left_out[0].why.find("0x8004230c") != std::string::npos);
    CHECK(prepared.left_out[1].volume == "E:\\");
    vss.ends["add C:\\"] = {vss::volume_not_supported};
    CHECK(backup.prepare(order_within(60s)).problem.id == "vss.volume");
    // Another failure may name a volume, too: it is no reason to do without it.
    vss.ends["add D:\\"] = {vss::access_denied};
    const PrepareReport denied = backup.prepare(order);
    CHECK(denied.left_out.empty());
    CHECK_FALSE(denied.ready);
}

TEST_CASE("windows/backup: only writers that held are told that their data is in the backup") {
    const auto instance = [](const char* name) { return "{" + std::string(name) + "}"; };
    const auto says = [&](const char* name, WriterState state, Hresult failure) {
        return WriterStatus{name, "{}", instance(name), state, failure};
    };
    ScriptedVss vss;
    vss.says["prepare"] = {says("good", WriterState::stable, vss::ok),
                           says("late", WriterState::stable, vss::ok),
                           says("gone", WriterState::stable, vss::ok),
                           says("bad", WriterState::failed_at_prepare_snapshot, vss::ok)};
    vss.says["snapshot"] = {says("good", WriterState::waiting_for_backup_complete, vss::ok),
                            says("late", WriterState::failed_at_freeze, vss::writer_timeout),
                            says("bad", WriterState::waiting_for_backup_complete, vss::ok)};
    VssBackup backup{{vss.opener()}};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    REQUIRE(backup.snapshot().taken);
    (void)backup.conclude(Outcome::success);
    CHECK(vss.succeeded == std::vector{instance("good")});

    // Nothing is known of any of them.
    vss.ends["status"] = {vss::ok, vss::writer_not_responding};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    REQUIRE(backup.snapshot().taken);
    (void)backup.conclude(Outcome::success);
    CHECK(vss.succeeded.empty());
}

TEST_CASE("windows/backup: an end that fails is told, and what is left of it aborted") {
    ScriptedVss vss;
    vss.ends["complete"] = {vss::writer_not_responding};
    VssBackup backup{{vss.opener()}};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    REQUIRE(backup.snapshot().taken);
    const ConcludeReport report = backup.conclude(Outcome::success);
    REQUIRE(report.evidence.size() == 1);
    CHECK_FALSE(report.evidence[0].quiesced);
    CHECK(vss.calls().ends_with("complete status abort release"));
}

TEST_CASE("windows/backup: after transactions that could not be frozen the next goes without") {
    ScriptedVss vss;
    vss.ends["snapshot"] = {vss::transaction_freeze_timeout};
    VssBackup backup{{vss.opener()}};
    REQUIRE(backup.prepare(order_within(60s)).ready);
    CHECK(backup.snapshot().retry_later);
    REQUIRE(backup.prepare(order_within(60s)).ready);
    CHECK(vss.calls().ends_with("open-small add prepare status"));
    REQUIRE(backup.snapshot().taken);
    REQUIRE(backup.prepare(order_within(60s)).ready);
    CHECK(vss.calls().ends_with("abort release open add prepare status"));
}

}  // namespace stillpoint::test
