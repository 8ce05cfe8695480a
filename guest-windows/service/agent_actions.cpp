#include <algorithm>
#include <utility>

#include "service/agent.hpp"

/// What the agent does for the session.
namespace stillpoint::windows_guest {

using os::nanoseconds;
using quiesce::Event;
using quiesce::State;
using serialization::Evidence;
using serialization::EvidenceKind;

namespace {

constexpr nanoseconds hold_min = std::chrono::milliseconds{100};  // less cannot hold a snapshot

std::vector<GuestVolume> that_can_be_held(const std::vector<GuestVolume>& all) {
    std::vector<GuestVolume> some;
    std::ranges::copy_if(all, std::back_inserter(some),
                         [](const GuestVolume& volume) { return volume.note.empty(); });
    return some;
}

}  // namespace

/// One backup keeps the configuration that it began with.
void Agent::read_configuration() {
    auto read = parts_.configure();
    if (read) {
        config_ = *std::move(read);
    } else {
        parts_.log.line(Severity::error, "the configuration stays as it was: " + read.error().text);
    }
}

void Agent::run_pre() {
    end_open(VssBackup::Outcome::failure);
    read_configuration();
    if (examined_for_ != 0) parts_.worker.cancel_examination();
    finished_ = {prepare_.job_id, {}};
    prepared_ = {prepare_.job_id};
    frozen_ = {};
    thawed_ = {};
    ready_ = {};
    snapshot_.reset();
    finish_success_ = false;
    hooks_begun_ = false;
    if (prepare_.wanted == serialization::Level::crash) return feed(Event::pre_done);
    volumes_ = parts_.volumes();
    PrepareOrder order;
    order.type = config_.type.value_or(prepare_.type);
    order.chosen = config_.writers;
    const bool application = prepare_.wanted == serialization::Level::application;
    order.writers = application ? VssOptions::Writers::all : VssOptions::Writers::none;
    order.volumes = that_can_be_held(volumes_);
    pre_until_ = os::now() + nanoseconds{std::max<std::int64_t>(prepare_.hooks_budget_ns, 0)};
    order.until = pre_until_;
    // From here on: VSS asks the provider for its volumes while they are added.
    parts_.gate.arm();
    parts_.worker.prepare(std::move(order));
}

void Agent::take_report(PrepareReport& report) {
    ready_ = std::move(report);
    if (!ready_.ready) parts_.log.line(Severity::error, "VSS: " + ready_.problem.text);
    for (const auto& [name, why] : ready_.left_out) {
        parts_.log.line(Severity::warning, why);
        const auto volume = std::ranges::find(volumes_, name, &GuestVolume::name);
        if (volume != volumes_.end()) volume->note = why;
    }
    prepared_.evidence = ready_.evidence;
    prepared_.retry_later = ready_.retry_later;
    // After VSS, which takes seconds: an application is held still as shortly as possible. And only
    // for a snapshot that can come.
    const bool wanted = prepare_.wanted == serialization::Level::application;
    if (state_ != State::preparing || !wanted || !ready_.ready) return feed(Event::pre_done);
    hooks_begun_ = true;
    parts_.hooks.run_pre(config_, prepare_.job_id, pre_until_);
}

void Agent::take_hooks(HookReport& report) {
    journal_ = std::move(report.journal);
    switch (report.of) {
        case HookReport::Of::recovery:
            recovered_ = true;
            return;
        case HookReport::Of::pre:
            return take_pre(report);
        case HookReport::Of::lost:
            thawed_.evidence.insert(thawed_.evidence.end(), report.evidence.begin(),
                                    report.evidence.end());
            return feed(Event::thaw_done);
        case HookReport::Of::end:
            finished_.evidence = std::move(report.evidence);
            return end_backup(end_success_);
    }
}

void Agent::take_pre(HookReport& report) {
    const auto& hooks = report.pre.evidence;
    prepared_.evidence.insert(prepared_.evidence.end(), hooks.begin(), hooks.end());
    prepared_.refusal = std::move(report.pre.refusal);
    feed(Event::pre_done);
}

void Agent::start_freeze() {
    thawed_.lease_id = freeze_.lease_id;
    thaw_asked_ = false;
    if (!ready_.ready) return refuse_freeze(ready_.problem);
    parts_.log.hold();
    hold_ = std::clamp(nanoseconds{freeze_.hold_budget_ns}, hold_min, config_.freeze_budget);
    parts_.gate.limit(hold_);
    frozen_ = {freeze_.lease_id, 0, 0, volume_evidence(true, {})};
    frozen_frame_.emplace(session_, frozen_);
    snapshot_running_ = true;
    parts_.worker.snapshot();
}

/// The last rung: nothing is held, but at least what is cached is on the disks.
void Agent::refuse_freeze(Error why) {
    parts_.gate.disarm();
    for (const GuestVolume& volume : volumes_) {
        if (!volume.note.empty()) continue;
        if (const Status flushed = parts_.flush(volume); !flushed) {
            parts_.log.line(Severity::warning, "flushing " + flushed.error().text);
        }
    }
    freeze_error_ = std::move(why);
    parts_.log.line(Severity::error, "freeze failed: " + freeze_error_->text);
    feed(Event::freeze_failed);
}

/// The only thing that is done while writes are held, beside waiting: no memory is taken.
void Agent::send_frozen() {
    frozen_.first_freeze_ns = parts_.gate.first_freeze().count();
    frozen_.frozen_ns = parts_.gate.frozen().count();
    if (session_ == 0 || !frozen_frame_) return;
    // What fails here is noticed by the host: no Thaw comes, and the hold ends by itself.
    (void)parts_.line.send(
        frozen_frame_->fill(++sent_, frozen_.first_freeze_ns, frozen_.frozen_ns));
}

void Agent::start_thaw() {
    const bool held = parts_.gate.holding();
    thaw_asked_ = held && state_ == State::thawing;
    thawed_.thaw_ns = os::now().count();
    parts_.gate.release();
    if (!held) parts_.worker.cancel();
    if (snapshot_ || !snapshot_running_) finish_thaw();
}

void Agent::take_report(SnapshotReport& report) {
    snapshot_running_ = false;
    snapshot_ = std::move(report);
    look_at_gate();
    if (state_ == State::freezing) {
        const bool taken = snapshot_->taken;
        return refuse_freeze(taken ? Error{Errc::unsupported,
                                           "vss.wrong_provider",
                                           "the snapshot was taken by another provider than ours",
                                           {}}
                                   : snapshot_->problem);
    }
    if (state_ == State::frozen) return feed(Event::deadline);
    if (state_ == State::thawing || state_ == State::aborting || state_ == State::expiring) {
        finish_thaw();
    }
}

/// Everything is known now: the hold, VSS's own verdict and each writer's.
void Agent::finish_thaw() {
    const HoldGate::End end = parts_.gate.end();
    const bool taken = snapshot_ && snapshot_->taken;
    const nanoseconds thawed = std::max(parts_.gate.thawed(), nanoseconds{thawed_.thaw_ns});
    const nanoseconds first = parts_.gate.first_freeze();
    parts_.gate.disarm();
    thawed_.held = thaw_asked_ && end == HoldGate::End::released && taken;
    thawed_.first_freeze_ns = frozen_.first_freeze_ns;
    thawed_.frozen_ns = frozen_.frozen_ns;
    thawed_.thawed_ns = thawed.count();
    thawed_.evidence = volume_evidence(thawed_.held, thawed - first);
    if (snapshot_) {
        const auto& writers = snapshot_->evidence;
        thawed_.evidence.insert(thawed_.evidence.end(), writers.begin(), writers.end());
        thawed_.retry_later = snapshot_->retry_later;
    }
    const std::string span = std::to_string((thawed - first) / std::chrono::milliseconds{1});
    if (thawed_.held) {
        parts_.log.line(Severity::info, "thawed frozen_ms=" + span);
    } else if (end == HoldGate::End::expired) {
        parts_.log.line(Severity::error, "nobody said thaw: let go after " + span + " ms");
    } else {
        parts_.log.line(Severity::error, "the snapshot failed: " +
                                             (snapshot_ ? snapshot_->problem.text : "cancelled"));
    }
    if (!hooks_begun_) return feed(Event::thaw_done);
    parts_.hooks.find_lost();
}

/// Hooks first: an application is waiting.
void Agent::run_post(bool success) {
    parts_.gate.disarm();
    if (!success) parts_.hooks.cancel();
    if (state_ == State::finishing && !ready_.ready) parts_.worker.cancel();
    end_success_ = success;
    if (!hooks_begun_) return end_backup(success);
    parts_.hooks.finish(success);
}

void Agent::end_backup(bool success) {
    if (success && snapshot_ && snapshot_->taken && host_completes_) return keep_open();
    conclude(success ? VssBackup::Outcome::success : VssBackup::Outcome::failure,
             {Answer::finished, prepare_.job_id});
}

/// The writers may truncate their logs only once the host has the data for good.
void Agent::keep_open() {
    open_job_ = prepare_.job_id;
    open_until_ = os::now() + rules_.complete_within;
    feed(Event::post_done);
}

void Agent::end_open(VssBackup::Outcome outcome, Answer answer) {
    const std::string job = std::exchange(open_job_, {});
    if (!job.empty()) conclude(outcome, {answer, job});
}

void Agent::conclude(VssBackup::Outcome outcome, Owed owed) {
    owed_.push_back(std::move(owed));
    parts_.worker.conclude(outcome);
}

void Agent::take_report(ConcludeReport& report) {
    const Owed owed = std::move(owed_.front());
    owed_.pop_front();
    for (const Evidence& writer : report.evidence) {
        parts_.log.line(Severity::warning, "writer " + writer.name + ": " + writer.note);
    }
    if (owed.answer == Answer::finished) {
        finished_.evidence.insert(finished_.evidence.end(), report.evidence.begin(),
                                  report.evidence.end());
        feed(Event::post_done);
    } else if (owed.answer == Answer::completed) {
        send(serialization::Completed{owed.job_id, std::move(report.evidence)});
    }
}

std::vector<Evidence> Agent::volume_evidence(bool quiesced, nanoseconds span) const {
    std::vector<Evidence> all;
    for (const GuestVolume& volume : volumes_) {
        Evidence evidence;
        evidence.kind = EvidenceKind::filesystem;
        evidence.name = volume.name;
        evidence.type = volume.type;
        evidence.freezable = volume.note.empty();
        evidence.quiesced = quiesced && volume.note.empty();
        evidence.duration_ns = evidence.quiesced ? span.count() : 0;
        evidence.note = volume.note;
        all.push_back(std::move(evidence));
    }
    return all;
}

}  // namespace stillpoint::windows_guest
