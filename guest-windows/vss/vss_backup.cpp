#include "vss/vss_backup.hpp"

#include <algorithm>
#include <utility>

namespace stillpoint::windows_guest {
namespace {

using serialization::Evidence;
using serialization::EvidenceKind;
using Writers = VssOptions::Writers;

constexpr const char* all_writers = "VSS writers";

/// The rung below: what was given up, as evidence against it.
Evidence given_up(const Error& why) {
    Evidence evidence;
    evidence.kind = EvidenceKind::writer;
    evidence.name = all_writers;
    evidence.type = name_of(StatusPhase::prepared);
    evidence.note = why.text + "; the snapshot is taken without writers";
    return evidence;
}

/// What went wrong for all writers at once, as evidence.
Evidence against_all(StatusPhase phase, const VssError& error) {
    Evidence evidence;
    evidence.kind = EvidenceKind::writer;
    evidence.name = all_writers;
    evidence.type = name_of(phase);
    evidence.note = describe(error).text;
    return evidence;
}

/// Whether another try changes nothing by itself.
bool is_lasting(Again again) {
    return again == Again::never || again == Again::repaired;
}

/// Takes the volume that a call failed for out of the order. @return why; empty: none, or the last
std::string leave_out(PrepareOrder& order, const VssError& error) {
    if (classify(error.code).fault != FailureClass::Fault::volume) return {};
    const auto found = std::ranges::find(order.volumes, error.object, &GuestVolume::name);
    if (found == order.volumes.end() || order.volumes.size() == 1) return {};
    order.volumes.erase(found);
    return describe(error).text;
}

}  // namespace

Error describe(const VssError& error) {
    const FailureClass meaning = classify(error.code);
    Error described;
    described.code = is_lasting(meaning.again) ? Errc::unsupported : Errc::busy;
    described.id = meaning.id;
    described.text = error.call + (error.object.empty() ? "" : " of " + error.object) + ": " +
                     std::string(meaning.text) + " (" + code_text(error.code) + ")";
    described.remedy = meaning.remedy;
    return described;
}

std::optional<Attempt> next_attempt(const Attempt& failed, Hresult code, os::nanoseconds left) {
    const FailureClass meaning = classify(code);
    Attempt next = failed;
    next.pause_before = os::nanoseconds::zero();
    if (left <= os::nanoseconds::zero()) return std::nullopt;
    if (meaning.again == Again::soon && left > retry_pause) {
        next.pause_before = retry_pause;
        return next;
    }
    const bool rested = meaning.again == Again::rested;
    if ((meaning.again == Again::once || rested) && !failed.repeated) {
        next.repeated = true;
        if (rested) next.pause_before = std::min(infrastructure_pause, left / 2);
        return next;
    }
    if (meaning.again == Again::repaired && !failed.repaired) {
        next.repaired = true;
        return next;
    }
    if (meaning.again == Again::smaller &&
        failed.context != SnapshotContext::without_transactions) {
        next.context = failed.context == SnapshotContext::transportable
                           ? SnapshotContext::plain
                           : SnapshotContext::without_transactions;
        return next;
    }
    if (meaning.fault == FailureClass::Fault::writers && failed.writers == Writers::all) {
        next.writers = Writers::none;
        next.repeated = false;
        return next;
    }
    return std::nullopt;
}

PrepareReport VssBackup::prepare(PrepareOrder order) {
    (void)conclude(Outcome::failure);
    Attempt plan{.writers = order.writers,
                 .context = std::exchange(begin_with_, SnapshotContext::transportable)};
    std::vector<Evidence> against;
    std::vector<PrepareReport::LeftOut> left_out;
    bool given_up_for_now = false;
    for (;;) {
        auto report = attempt(order, plan);
        if (report) {
            report->evidence.insert(report->evidence.end(), against.begin(), against.end());
            report->retry_later = report->retry_later || given_up_for_now;
            report->left_out = std::move(left_out);
            return *std::move(report);
        }
        end_session();
        if (std::string why = leave_out(order, report.error()); !why.empty()) {
            left_out.push_back({report.error().object, std::move(why)});
            continue;
        }
        const Error problem = describe(report.error());
        const auto next = next_attempt(plan, report.error().code, order.until - parts_.now());
        if (!may_go_on(plan, next)) {
            return {.ready = false,
                    .evidence = std::move(against),
                    .retry_later = problem.code == Errc::busy,
                    .problem = problem};
        }
        if (next->writers != plan.writers) {
            against.push_back(given_up(problem));
            given_up_for_now = problem.code == Errc::busy;
        }
        plan = *next;
    }
}

/// What is done between two attempts. @return false: no other is made
bool VssBackup::may_go_on(const Attempt& failed, const std::optional<Attempt>& next) {
    if (!next) return false;
    if (next->repaired && !failed.repaired) parts_.repair();
    return !parts_.wait(cancelled_, parts_.now() + next->pause_before);
}

VssResult<PrepareReport> VssBackup::attempt(const PrepareOrder& order, const Attempt& attempt) {
    std::shared_ptr<VssSession> session = parts_.open();
    {
        const std::scoped_lock guard{lock_};
        session_ = session;
    }
    // One that came before there was anything to cancel.
    if (cancel_asked_) session->cancel();
    held_.clear();
    with_writers_ = attempt.writers == Writers::all;
    snapshot_taken_ = false;
    PrepareReport report;
    auto excluded = session->open({order.type, attempt.writers, attempt.context, order.chosen});
    if (!excluded) return tl::unexpected(excluded.error());
    report.evidence = *std::move(excluded);
    if (auto added = session->add_volumes(order.volumes); !added) {
        return tl::unexpected(added.error());
    }
    if (auto prepared = session->prepare(); !prepared) return tl::unexpected(prepared.error());
    if (with_writers_) {
        report.retry_later = note_status(report.evidence, StatusPhase::prepared);
    }
    report.ready = true;
    return report;
}

/// The status of every writer as evidence; that it cannot be read is evidence too.
/// @return whether a writer failed in a way that it may not in ten minutes
bool VssBackup::note_status(std::vector<Evidence>& evidence, StatusPhase phase) {
    const auto status = session_->status();
    if (!status) {
        held_.clear();
        evidence.push_back(against_all(phase, status.error()));
        return describe(status.error()).code == Errc::busy;
    }
    keep_held(phase, *status);
    for (const WriterStatus& writer : *status) evidence.push_back(evidence_of(phase, writer));
    return std::ranges::any_of(*status, [phase](const WriterStatus& writer) {
        return judge_writer(phase, writer.state, writer.failure) == WriterVerdict::retry_later;
    });
}

void VssBackup::keep_held(StatusPhase phase, const std::vector<WriterStatus>& writers) {
    std::vector<std::string> good;
    for (const WriterStatus& writer : writers) {
        const bool before = phase == StatusPhase::prepared ||
                            std::ranges::find(held_, writer.instance_id) != held_.end();
        if (before && is_quiesced(judge_writer(phase, writer.state, writer.failure))) {
            good.push_back(writer.instance_id);
        }
    }
    held_ = std::move(good);
}

SnapshotReport VssBackup::snapshot() {
    if (!session_) {
        return {.problem = {Errc::invalid, "vss.order", "nothing is prepared", {}}};
    }
    SnapshotReport report;
    const VssStatus done = session_->snapshot();
    report.taken = snapshot_taken_ = done.has_value();
    if (!done) {
        report.problem = describe(done.error());
        if (classify(done.error().code).again == Again::smaller) {
            begin_with_ = SnapshotContext::without_transactions;
        }
    }
    report.retry_later = !done && report.problem.code == Errc::busy;
    // Also after a failure: the writers say why.
    if (with_writers_ && note_status(report.evidence, StatusPhase::snapshot)) {
        report.retry_later = true;
    }
    return report;
}

ConcludeReport VssBackup::conclude(Outcome outcome) {
    ConcludeReport report;
    if (!session_) return report;
    // BackupComplete must not follow a snapshot that failed.
    if (outcome == Outcome::success && snapshot_taken_ && with_writers_) {
        const std::vector<std::string> held = held_;
        const VssStatus done = session_->complete(held);
        if (!done) report.evidence.push_back(against_all(StatusPhase::completed, done.error()));
        std::vector<Evidence> all;
        (void)note_status(all, StatusPhase::completed);  // too late for another try
        for (Evidence& evidence : all) {
            if (!evidence.note.empty()) report.evidence.push_back(std::move(evidence));
        }
        if (done) {
            const std::scoped_lock guard{lock_};
            session_.reset();
            return report;
        }
    }
    end_session();
    return report;
}

void VssBackup::end_session() noexcept {
    if (session_) session_->abort();
    const std::scoped_lock guard{lock_};
    session_.reset();
}

VssResult<std::vector<WriterStatus>> VssBackup::look() {
    const std::shared_ptr<VssSession> session = parts_.open();
    const auto show = [this](std::shared_ptr<VssSession> to_cancel) {
        const std::scoped_lock guard{lock_};
        looking_ = std::move(to_cancel);
    };
    show(session);
    if (look_cancelled_) session->cancel();
    // Nothing is prepared, so the writers hear of no backup and the type means nothing.
    VssResult<std::vector<WriterStatus>> found;
    if (const auto opened = session->open({.type = serialization::BackupType::copy}); opened) {
        found = session->status();
    } else {
        found = tl::unexpected(opened.error());
    }
    show(nullptr);
    return found;
}

void VssBackup::cancel_look() noexcept {
    look_cancelled_ = true;  // first: a look that begins now sees it
    std::shared_ptr<VssSession> session;
    {
        const std::scoped_lock guard{lock_};
        session = looking_;
    }
    if (session) session->cancel();
}

void VssBackup::cancel() noexcept {
    cancel_asked_ = true;  // first: an attempt that begins now sees it
    std::shared_ptr<VssSession> session;
    {
        const std::scoped_lock guard{lock_};
        session = session_;
    }
    cancelled_.set();
    if (session) session->cancel();
}

}  // namespace stillpoint::windows_guest
