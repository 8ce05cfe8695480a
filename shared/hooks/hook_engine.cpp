#include "hooks/hook_engine.hpp"

#include <algorithm>
#include <cstdio>

namespace stillpoint::hooks {

using quiesce::Ending;
using quiesce::EndWith;
using quiesce::PreResult;

namespace {

constexpr std::size_t job_id_bytes_max = 64;

PreResult result_of(const HookOutcome& outcome) {
    if (outcome.executions == 0) return PreResult::not_started;
    if (outcome.last.succeeded()) return PreResult::succeeded;
    return outcome.last.end == HookEnd::cancelled ? PreResult::cut : PreResult::failed;
}

const char* told(Ending ending) {
    if (ending == Ending::success) return "success";
    return ending == Ending::failure ? "failure" : "aborted";
}

/// Only a program that ran can do better the next time.
bool worth_another_try(const HookResult& result) {
    return !result.succeeded() && result.end != HookEnd::cancelled &&
           result.end != HookEnd::not_started;
}

HookOutcome refused(std::string why) {
    HookOutcome outcome;
    outcome.last.output = std::move(why);
    return outcome;
}

}  // namespace

HookEngine::PreReport HookEngine::run_pre(std::vector<Hook> hooks, const std::string& job_id,
                                          Nanoseconds until, const Hands& hands) {
    PreReport report;
    journal_.job_id = job_id.substr(0, job_id_bytes_max);  // it must stay readable
    if (locked_) journal_state_ = "clean";
    active_.clear();
    ended_.clear();
    given_up_ = false;
    std::vector<quiesce::HookFate> fates;
    for (Hook& hook : hooks) {
        if (hands.cancellable.pause(parts_.now()) == Paused::cancelled) given_up_ = true;
        if (given_up_) {
            const char* why = active_.empty() ? "an earlier hook failed" : "cancelled";
            report.evidence.push_back(hook_evidence(hook, HookPhase::pre, refused(why)));
            continue;
        }
        active_.push_back({std::move(hook)});
        Active& active = active_.back();
        active.result = start(active, until, hands.cancellable, report);
        fates.push_back({active.hook.rules(), active.result});
        const quiesce::AfterPre next = quiesce::after_pre(active.hook.rules(), active.result);
        if (next == quiesce::AfterPre::go_on) continue;
        if (next == quiesce::AfterPre::undo_all) {
            given_up_ = true;
            if (active.result == PreResult::cut) continue;
            undo_after(report.evidence.size() - 1, report, hands.steady);
        } else {
            end(active, Ending::aborted, hands.steady);
            active_.pop_back();
        }
    }
    report.freeze_needed = given_up_ || quiesce::freeze_needed(fates);
    return report;
}

PreResult HookEngine::start(Active& active, Nanoseconds until, HookHands& hands,
                            PreReport& report) {
    const Hook& hook = active.hook;
    const HookOutcome outcome = start_pre(hook, until, hands);
    log(hook, HookPhase::pre, outcome);
    report.evidence.push_back(hook_evidence(hook, HookPhase::pre, outcome));
    const PreResult result = result_of(outcome);
    active.left_running =
        result == PreResult::succeeded && parts_.system.running(hook, HookPhase::pre);
    const bool failed = result == PreResult::failed || result == PreResult::not_started;
    if (failed && hook.on_failure == quiesce::OnFailure::fail) {
        report.refusal = "hook " + hook.name + ": " + outcome.last.note();
    }
    return result;
}

HookOutcome HookEngine::start_pre(const Hook& hook, Nanoseconds until, HookHands& hands) {
    if (hook.problem) return refused(hook.problem->text);
    // Without the journal nobody would end after a crash what is begun now.
    if (!locked_) return refused(journal_state_);
    if (const Status ready = parts_.system.begin(hook); !ready) {
        return refused(ready.error().text);
    }
    const auto begun = journal_with(hook.name, quiesce::HookStep::pre);
    HookOutcome outcome = run_tries({hook,
                                     hook.pre,
                                     HookPhase::pre,
                                     journal_.job_id,
                                     {},
                                     {},
                                     [&] { return parts_.journal.commit(begun); },
                                     parts_.journal.held()},
                                    until, hands);
    if (outcome.executions == 0) {
        write_journal();  // the child may have come as far as its commit
    } else {
        journal_ = begun;
        if (outcome.last.succeeded()) note_step(hook.name, quiesce::HookStep::held);
    }
    return outcome;
}

/// The application is not held still any more: what said so before is taken back.
void HookEngine::undo_after(std::size_t failed, PreReport& report, HookHands& steady) {
    const std::string why = "aborted because " + report.evidence[failed].name + " failed";
    for (serialization::Evidence& earlier : report.evidence) {
        if (!earlier.quiesced) continue;
        earlier.quiesced = false;
        earlier.note = why;
    }
    for (auto active = active_.rbegin(); active != active_.rend(); ++active) {
        end(*active, Ending::aborted, steady);
    }
    active_.clear();
}

std::vector<serialization::Evidence> HookEngine::lost() {
    std::vector<serialization::Evidence> against;
    for (Active& active : active_) {
        if (!active.left_running || parts_.system.running(active.hook, HookPhase::pre)) continue;
        active.left_running = false;
        against.push_back(hook_evidence(active.hook, HookPhase::pre, {}));
        against.back().note = "what its pre left running had ended too early";
    }
    return against;
}

std::vector<serialization::Evidence> HookEngine::finish(bool success, HookHands& steady) {
    const Ending kept = success ? Ending::success : Ending::failure;
    const Ending ending = given_up_ ? Ending::aborted : kept;
    for (auto active = active_.rbegin(); active != active_.rend(); ++active) {
        end(*active, ending, steady);
    }
    active_.clear();
    if (locked_ && success) journal_state_ = "clean";  // a whole backup: the host has been told
    return std::exchange(ended_, {});
}

void HookEngine::end(Active& active, Ending ending, HookHands& steady) {
    const Hook& hook = active.hook;
    const EndWith with = quiesce::end_with(hook.rules(), active.result, ending);
    // Cleared first: exactly once, whatever happens while it runs.
    active.result = PreResult::not_started;
    if (with != EndWith::nothing) {
        const HookPhase phase = with == EndWith::abort ? HookPhase::abort : HookPhase::post;
        const HookCommand& command = with == EndWith::abort ? *hook.abort : *hook.post;
        const char* result = with == EndWith::post ? told(ending) : told(Ending::aborted);
        const auto begun = journal_with(hook.name, quiesce::HookStep::ending);
        const HookOutcome outcome = run_tries({hook,
                                               command,
                                               phase,
                                               journal_.job_id,
                                               result,
                                               {},
                                               [&] { return parts_.journal.commit(begun); },
                                               parts_.journal.held()},
                                              Nanoseconds::max(), steady);
        log(hook, phase, outcome);
        ended_.push_back(hook_evidence(hook, phase, outcome));
    }
    parts_.system.end(hook);
    forget(hook.name);
}

HookOutcome HookEngine::run_tries(HookOrder order, Nanoseconds until, HookHands& hands) {
    const HookCommand& command = order.command;
    const Nanoseconds begin = parts_.now();
    until = std::min(until, begin + command.total());
    HookOutcome outcome;
    for (int tries = 0; tries < command.tries; ++tries) {
        if (tries > 0 && !wait_before_retry(command, tries, until, hands)) break;
        order.timeout = std::min(command.timeout, until - parts_.now());
        if (order.timeout <= Nanoseconds::zero()) {
            if (tries == 0) outcome.last.output = "no time is left for it";
            break;
        }
        outcome.last = hands.execute(order);
        if (outcome.last.end != HookEnd::not_started) ++outcome.executions;
        order.commit = nullptr;  // it is known now that it was begun
        if (!worth_another_try(outcome.last)) break;
    }
    outcome.duration = parts_.now() - begin;
    return outcome;
}

/// @return false: no longer wanted
bool HookEngine::wait_before_retry(const HookCommand& command, int executions, Nanoseconds until,
                                   HookHands& hands) {
    Nanoseconds pause = command.backoff;
    for (int i = 1; i < executions && pause < hook_backoff_max; ++i) pause *= 2;
    const Nanoseconds wake = std::min(parts_.now() + std::min(pause, hook_backoff_max), until);
    while (parts_.now() < wake) {
        if (hands.pause(wake) == Paused::cancelled) return false;
    }
    return true;
}

void HookEngine::log(const Hook& hook, HookPhase phase, const HookOutcome& outcome) {
    char ms[32];
    std::snprintf(ms, sizeof ms, "%.1f", static_cast<double>(outcome.duration.count()) / 1e6);
    parts_.log(std::string(text_of(phase)) + " hook ended name=" + hook.name + " ms=" + ms +
                   " executions=" + std::to_string(outcome.executions) +
                   " result=" + outcome.last.note(),
               outcome.last.succeeded());
}

}  // namespace stillpoint::hooks
