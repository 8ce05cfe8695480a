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

/// The status of every writer as evidence; that it cannot be read is evidence too.
/// @return whether a writer failed in a way that it may not in ten minutes
bool add_status(std::vector<Evidence>& evidence, StatusPhase phase, VssSession& session) {
    const auto status = session.status();
    if (!status) {
        Evidence unknown;
        unknown.kind = EvidenceKind::writer;
        unknown.name = all_writers;
        unknown.type = name_of(phase);
        unknown.note = describe(status.error()).text;
        evidence.push_back(std::move(unknown));
        return describe(status.error()).code == Errc::busy;
    }
    for (const WriterStatus& writer : *status) evidence.push_back(evidence_of(phase, writer));
    return std::ranges::any_of(*status, [phase](const WriterStatus& writer) {
        return judge_writer(phase, writer.state, writer.failure) == WriterVerdict::retry_later;
    });
}

}  // namespace

Error describe(const VssError& error) {
    const FailureClass meaning = classify(error.code);
    Error described;
    described.code = meaning.again == Again::never ? Errc::unsupported : Errc::busy;
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
    if (meaning.again == Again::once && !failed.repeated) {
        next.repeated = true;
        return next;
    }
    if (meaning.again == Again::smaller &&
        failed.context != SnapshotContext::without_transactions) {
        next.context = failed.context == SnapshotContext::transportable
                           ? SnapshotContext::plain
                           : SnapshotContext::without_transactions;
        return next;
    }
    if (meaning.writers_at_fault && failed.writers == Writers::all) {
        next.writers = Writers::none;
        next.repeated = false;
        return next;
    }
    return std::nullopt;
}

PrepareReport VssBackup::prepare(const PrepareOrder& order) {
    (void)conclude(Outcome::failure);
    Attempt plan{.writers = order.writers};
    std::vector<Evidence> against;
    bool given_up_for_now = false;
    for (;;) {
        auto report = attempt(order, plan);
        if (report) {
            report->evidence.insert(report->evidence.end(), against.begin(), against.end());
            report->retry_later = report->retry_later || given_up_for_now;
            return *std::move(report);
        }
        end_session();
        const Error problem = describe(report.error());
        const auto next = next_attempt(plan, report.error().code, order.until - os::now());
        const bool cancelled = next && cancelled_.wait_until(os::now() + next->pause_before);
        if (!next || cancelled) {
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

VssResult<PrepareReport> VssBackup::attempt(const PrepareOrder& order, const Attempt& attempt) {
    std::shared_ptr<VssSession> session = open_();
    {
        const std::scoped_lock guard{lock_};
        session_ = session;
    }
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
        report.retry_later = add_status(report.evidence, StatusPhase::prepared, *session);
    }
    report.ready = true;
    return report;
}

SnapshotReport VssBackup::snapshot() {
    if (!session_) {
        return {.problem = {Errc::invalid, "vss.order", "nothing is prepared", {}}};
    }
    SnapshotReport report;
    const VssStatus done = session_->snapshot();
    report.taken = snapshot_taken_ = done.has_value();
    if (!done) report.problem = describe(done.error());
    report.retry_later = !done && report.problem.code == Errc::busy;
    // Also after a failure: the writers say why.
    if (with_writers_ && add_status(report.evidence, StatusPhase::snapshot, *session_)) {
        report.retry_later = true;
    }
    return report;
}

ConcludeReport VssBackup::conclude(Outcome outcome) {
    ConcludeReport report;
    if (!session_) return report;
    // BackupComplete must not follow a snapshot that failed.
    if (outcome == Outcome::success && snapshot_taken_ && with_writers_) {
        if (const VssStatus done = session_->complete(); !done) {
            Evidence failed;
            failed.kind = EvidenceKind::writer;
            failed.name = all_writers;
            failed.type = name_of(StatusPhase::completed);
            failed.note = describe(done.error()).text;
            report.evidence.push_back(std::move(failed));
        }
        std::vector<Evidence> all;
        (void)add_status(all, StatusPhase::completed, *session_);  // too late for another try
        for (Evidence& evidence : all) {
            if (!evidence.note.empty()) report.evidence.push_back(std::move(evidence));
        }
        const std::scoped_lock guard{lock_};
        session_.reset();
        return report;
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
    const std::shared_ptr<VssSession> session = open_();
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
    std::shared_ptr<VssSession> session;
    {
        const std::scoped_lock guard{lock_};
        session = session_;
    }
    cancelled_.set();
    if (session) session->cancel();
}

}  // namespace stillpoint::windows_guest
