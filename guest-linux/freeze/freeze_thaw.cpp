#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "freeze/freeze_run.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;
using serialization::Evidence;
using serialization::EvidenceKind;

constexpr Nanoseconds thaw_max = std::chrono::seconds{2};    // then the rescuers take over
constexpr Nanoseconds rescue_max = std::chrono::seconds{1};  // what can be thawed is, by then
constexpr Nanoseconds look_every = std::chrono::milliseconds{5};

/// Waits whatever the host wants meanwhile: a thaw is never given up.
class Stubborn final : public os::Waiter {
public:
    explicit Stubborn(os::Waiter& inner) : inner_(&inner) {}
    os::WaitEnd wait(std::span<pollfd> watched, Nanoseconds until) override {
        const os::WaitEnd end = inner_->wait(watched, until);
        if (end != os::WaitEnd::cancelled) return end;
        inner_ = &plain_;  // it would answer the same again and again
        return inner_->wait(watched, until);
    }

private:
    os::Waiter* inner_;
    os::PlainWaiter plain_;
};

Evidence evidence_of(const Target& target) {
    Evidence evidence;
    evidence.kind = EvidenceKind::filesystem;
    evidence.name = target.name;
    evidence.type = target.type;
    return evidence;
}

std::string sync_note(const FreezeRow& row) {
    const int error = row.sync_errno;
    return error == 0 ? "" : std::string("sync reported: ") + std::strerror(error);
}

/// False where it is no fault of ours that it is not frozen: then it is uncovered.
bool can_be_frozen(Step step) {
    return step != Step::unsupported && step != Step::refused;
}

std::string refusal(const FreezeRow& row) {
    const int error = row.freeze_errno;
    if (error == EBUSY) return "is frozen by somebody else";
    return std::string("cannot be frozen: ") + std::strerror(error);
}

std::string blame(const Target& target) {
    if (target.listener.empty()) return "";
    return "; " + target.listener + " decides about opens there and writes to it";
}

}  // namespace

ThawReport FreezeRun::thaw(os::Waiter& waiter) {
    Stubborn stubborn{waiter};
    ThawReport report;
    report.thaw = boottime();
    const Status done = thaw_in_order(stubborn);
    if (!done && problem_.empty()) problem_ = done.error().text;
    if (!done || unsettled()) rescue(stubborn);
    report.thawed = boottime();
    report.own = own_time(report.thawed - report.thaw);
    disarm();
    bool all_held = complete_ && done && report.thawed <= deadline_;
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const Step step = table_.row(i).step;
        report.evidence.push_back(thawed_evidence(units_[i], table_.row(i)));
        const bool still = report.evidence.back().quiesced;
        const bool left = step == Step::unsupported || step == Step::refused;
        all_held = all_held && (step == Step::thawed || left) &&
                   (still || plan_.mode == FreezeMode::best_effort);
        if (left && !still && plan_.mode == FreezeMode::strict && problem_.empty()) {
            problem_ = units_[i].opened.target.name + " was not held still";
        }
        if (step == Step::lost && problem_.empty()) {
            problem_ = units_[i].opened.target.name + " was thawed by somebody else";
        }
    }
    add_uncovered(report.evidence);
    report.held = all_held;
    report.problem = report.held ? "" : problem_;
    return report;
}

Status FreezeRun::thaw_in_order(os::Waiter& waiter) {
    std::set<int> levels;
    for (std::size_t i = 0; i < units_.size(); ++i) {
        FreezeRow& row = table_.row(i);
        units_[i].waiting = false;  // a sync or freeze that does not return is not waited for here
        try_move(row, Step::idle, Step::revoked);
        if (row.step == Step::unsupported) order(units_[i], FreezerOrder::thaw);
        if (row.step == Step::frozen) levels.insert(units_[i].opened.target.level);
    }
    // From the base up: the thaw of an upper filesystem may write to the one that holds it.
    const Nanoseconds until = boottime() + thaw_max;
    for (const int level : levels) {
        for (std::size_t i = 0; i < units_.size(); ++i) {
            const bool here = units_[i].opened.target.level == level;
            if (here && table_.row(i).step == Step::frozen) order(units_[i], FreezerOrder::thaw);
        }
        SP_TRY(await(until, waiter));
    }
    return levels.empty() ? await(until, waiter) : Status{};
}

/// The way of last resort: freezers are killed, the rescuers thaw. Returns when all is thawed or
/// rescue_max has passed; a filesystem whose FIFREEZE does not return stays with its rescuer.
void FreezeRun::rescue(os::Waiter& waiter) {
    for (std::size_t i = 0; i < units_.size(); ++i) {
        if (table_.row(i).step == Step::entering) units_[i].freezer.kill();
    }
    const WatchdogOrder aborting{WatchdogOrder::Kind::abort, 0};
    ::send(watchdog_.get(), &aborting, sizeof aborting, MSG_NOSIGNAL | MSG_DONTWAIT);
    // The freezers that live are told as well, all at once: who comes second finds nothing to do,
    // and together they survive the death of watchdog and rescuers.
    for (std::size_t i = 0; i < units_.size(); ++i) {
        if (table_.row(i).step == Step::frozen) order(units_[i], FreezerOrder::thaw);
    }
    const Nanoseconds until = boottime() + rescue_max;
    while (unsettled() && boottime() < until) waiter.wait({}, boottime() + look_every);
}

/// Freezers end with their line. While one filesystem is not settled the table stays armed: the
/// rescuers have been let go and look at their own rows alone.
void FreezeRun::disarm() {
    if (!unsettled()) {
        table_.armed() = false;
        if (!survival_.state_file.empty()) ::unlink(survival_.state_file.c_str());
    }
    watchdog_.reset();
    for (std::size_t i = 0; i < units_.size(); ++i) {
        if (settled(table_.row(i).step)) units_[i].socket.reset();
    }
}

/// @param thawing from the first FITHAW to the last one's end
Nanoseconds FreezeRun::own_time(Nanoseconds thawing) const {
    std::map<int, std::int64_t>
        freeze_calls;  // level -> its longest call; a level runs in parallel
    std::map<int, std::int64_t> thaw_calls;
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const FreezeRow& row = table_.row(i);
        std::int64_t& freeze = freeze_calls[units_[i].opened.target.level];
        std::int64_t& thaw = thaw_calls[units_[i].opened.target.level];
        freeze = std::max<std::int64_t>(freeze, row.freeze_end_ns - row.freeze_begin_ns);
        thaw = std::max<std::int64_t>(thaw, row.thaw_end_ns - row.thaw_begin_ns);
    }
    Nanoseconds own = thawing + (frozen_ - first_freeze_);
    for (const auto& [level, ns] : freeze_calls) own -= Nanoseconds{ns};
    for (const auto& [level, ns] : thaw_calls) own -= Nanoseconds{ns};
    return own;
}

bool FreezeRun::unsettled() const {
    for (std::size_t i = 0; i < units_.size(); ++i) {
        if (!settled(table_.row(i).step)) return true;
    }
    return false;
}

std::vector<std::string> FreezeRun::stuck() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < units_.size(); ++i) {
        if (!settled(table_.row(i).step)) names.push_back(units_[i].opened.target.name);
    }
    return names;
}

std::vector<Evidence> FreezeRun::frozen_evidence() const {
    std::vector<Evidence> all;
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const FreezeRow& row = table_.row(i);
        Evidence evidence = evidence_of(units_[i].opened.target);
        evidence.quiesced = row.step == Step::frozen;
        evidence.duration_ns = row.freeze_end_ns - row.freeze_begin_ns;
        evidence.freezable = can_be_frozen(row.step);
        evidence.note = row.step == Step::refused       ? refusal(row)
                        : row.step == Step::unsupported ? "cannot freeze; synced"
                                                        : sync_note(row);
        all.push_back(std::move(evidence));
    }
    add_uncovered(all);
    return all;
}

Evidence FreezeRun::thawed_evidence(const Unit& unit, const FreezeRow& row) const {
    Evidence evidence = evidence_of(unit.opened.target);
    evidence.freezable = can_be_frozen(row.step);
    const auto since_first = [&](std::int64_t end) { return end - first_freeze_.count(); };
    switch (row.step) {
        case Step::thawed:
            evidence.quiesced = complete_;
            evidence.duration_ns = since_first(row.thaw_end_ns);
            evidence.note = sync_note(row);
            break;
        case Step::unsupported:
            evidence.quiesced = row.writes_before >= 0 && row.writes_before == row.writes_after &&
                                row.sync_errno == 0;
            evidence.note =
                evidence.quiesced ? "unwritten" : "cannot freeze; may have been written";
            break;
        case Step::lost:
            evidence.note = "was thawed by somebody else";
            break;
        case Step::rescued:
            evidence.note = std::string("thawed by the watchdog: ") + text_of(table_.trigger());
            break;
        case Step::refused:
            evidence.note = refusal(row);
            break;
        case Step::entering:
            evidence.note = "its freeze does not return" + blame(unit.opened.target);
            break;
        case Step::frozen:
            evidence.note = "its thaw does not return";
            break;
        case Step::idle:
        case Step::revoked:
            evidence.note = "not frozen";
            break;
    }
    return evidence;
}

void FreezeRun::add_uncovered(std::vector<Evidence>& evidence) const {
    for (const Uncovered& left : plan_.uncovered) {
        Evidence entry;
        entry.kind = EvidenceKind::filesystem;
        entry.name = left.name;
        entry.type = left.type;
        entry.excluded = left.excluded;
        entry.freezable = false;
        entry.note = left.note;
        evidence.push_back(std::move(entry));
    }
}

}  // namespace stillpoint::linux_guest
