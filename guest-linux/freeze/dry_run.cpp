#include "freeze/examination.hpp"
#include "freeze/freeze_engine.hpp"

/// The examination of the real engine: a plan, and a freeze of each filesystem by itself.
namespace stillpoint::linux_guest {

using serialization::Diagnosis;
using serialization::Finding;
using serialization::MountCheck;

namespace {

/// Short: a doctor must not hurt.
constexpr FreezeBudgets dry_run_budgets{.freeze = std::chrono::seconds{2},
                                        .hold = std::chrono::seconds{3}};
constexpr os::Nanoseconds dry_run_sync_max = std::chrono::seconds{10};

void append(std::vector<Finding>& findings, std::vector<Finding> more) {
    findings.insert(findings.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
}

Finding as_finding(const Error& error) {
    return {error.id, "error", "", error.text, error.remedy};
}

}  // namespace

Diagnosis SystemFreezeEngine::examine(bool dry_run, os::Waiter& waiter) {
    Diagnosis diagnosis;
    const auto planned = plan();
    if (!planned) {
        diagnosis.findings.push_back(as_finding(planned.error()));
        return diagnosis;
    }
    diagnosis.findings = judge_plan(*planned, scan_);
    append(diagnosis.findings, find_other_freezers());
    for (const Target& target : planned->targets) {
        diagnosis.mounts.push_back({target.name, target.type, target.device.text(), target.level});
    }
    if (dry_run) try_all(*planned, diagnosis, waiter);
    if (!is_memory(places_.folder)) {
        diagnosis.findings.push_back({"doctor.state_folder", "warning", places_.folder,
                                      "is not in memory: a restarted extension cannot know what "
                                      "its predecessor left frozen",
                                      "mount a tmpfs at /run"});
    }
    return diagnosis;
}

void SystemFreezeEngine::try_all(const FreezePlan& plan, Diagnosis& diagnosis, os::Waiter& waiter) {
    auto lock = FreezeLock::take(places_, waiter);
    if (!lock) {
        diagnosis.findings.push_back(as_finding(lock.error()));
        return;
    }
    lock_ = *std::move(lock);
    for (std::size_t i = 0; i < plan.targets.size(); ++i) {
        MountCheck& check = diagnosis.mounts[i];
        const Status tried = try_one(plan, plan.targets[i], check, waiter);
        append(diagnosis.findings, judge_dry_run(check, tried ? nullptr : &tried.error()));
        if (!tried && tried.error().code == Errc::cancelled) break;
    }
    lock_.reset();
}

Status SystemFreezeEngine::try_one(const FreezePlan& plan, const Target& target, MountCheck& check,
                                   os::Waiter& waiter) {
    FreezePlan one;
    one.mode = plan.mode;
    one.targets = {target};
    SP_ASSIGN(FreezeRun run, FreezeRun::start(std::move(one), waiter, survival()));
    const os::Nanoseconds begin = os::boottime();
    SP_TRY(run.sync(begin + dry_run_sync_max, waiter));
    check.sync_ns = (os::boottime() - begin).count();
    const Status frozen = run.freeze(dry_run_budgets, waiter);
    const ThawReport report = run.thaw(waiter);
    check.thaw_ns = (report.thawed - report.thaw).count();
    check.note = report.evidence.empty() ? "" : report.evidence.front().note;
    const bool stuck = !run.stuck().empty();
    if (frozen) check.freeze_ns = (run.frozen() - run.first_freeze()).count();
    check.froze = frozen && report.held && target.can_freeze;
    if (stuck) stuck_ = std::make_unique<FreezeRun>(std::move(run));
    SP_TRY(frozen);
    if (report.held) return {};
    return fail(Errc::io, "freeze.broken", report.problem);
}

}  // namespace stillpoint::linux_guest
