#include <algorithm>
#include <cstdio>

#include "service/agent.hpp"

/// What the agent does for the session: hooks, freeze and thaw.
namespace stillpoint::linux_guest {

using os::boottime;
using os::Nanoseconds;
using quiesce::Event;
using quiesce::State;

namespace {

constexpr Nanoseconds write_out_max = std::chrono::seconds{30};
constexpr Nanoseconds hold_min = std::chrono::milliseconds{100};  // less cannot hold a snapshot

std::string in_ms(Nanoseconds span) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", static_cast<double>(span.count()) / 1e6);
    return text;
}

}  // namespace

void Agent::run_pre() {
    const Nanoseconds budget{std::max<std::int64_t>(prepare_.hooks_budget_ns, 0)};
    const Nanoseconds until = boottime() + budget;
    prepared_ = {prepare_.job_id, {}, true};
    finished_ = {prepare_.job_id, {}};
    thawed_ = {};
    finish_success_ = false;
    // Before the hooks: while an application is held still, nothing should take seconds.
    const Status written =
        parts_.freezer.write_out(boottime() + std::min(budget / 4, write_out_max), *this);
    if (!written && written.error().code != Errc::cancelled) {
        parts_.log.line(Severity::warning,
                        "writing out before the window: " + written.error().text);
    }
    if (config_.pre && prepare_.wanted == serialization::Level::application && actions_.empty()) {
        const HookContext context{HookPhase::pre, prepare_.job_id, false};
        const HookResult result = run_logged(*config_.pre, context, until - boottime());
        post_owed_ = result.end != HookEnd::not_started;
        prepared_.evidence.push_back(hook_evidence(*config_.pre, result));
    }
    feed(Event::pre_done);
}

void Agent::run_post(bool success) {
    finished_.job_id = prepare_.job_id;
    // Cleared first: exactly once, whatever happens while it runs.
    if (std::exchange(post_owed_, false) && config_.post) {
        const HookContext context{HookPhase::post, prepare_.job_id, success};
        const HookResult result = run_logged(*config_.post, context, hook_timeout_max);
        finished_.evidence.push_back(hook_evidence(*config_.post, result));
    }
    feed(Event::post_done);
}

HookResult Agent::run_logged(const HookCommand& hook, HookContext context,
                             Nanoseconds timeout_max) {
    HookCommand limited = hook;
    limited.timeout = std::max(Nanoseconds::zero(), std::min(hook.timeout, timeout_max));
    HookResult result = run_hook(limited, context, *this);
    parts_.log.line(result.succeeded() ? Severity::info : Severity::warning,
                    std::string(text_of(context.phase)) + " hook ended command=" + hook.command +
                        " ms=" + in_ms(result.duration) + " result=" + result.note());
    return result;
}

void Agent::start_freeze() {
    parts_.log.hold();
    freeze_error_.reset();
    hold_until_ = Nanoseconds::zero();
    frozen_ = {};
    thawed_ = {};
    thawed_.lease_id = freeze_.lease_id;
    // The guest's own limit is the last word; the host may only ask for less.
    FreezeBudgets budgets;
    budgets.hold = std::clamp(Nanoseconds{freeze_.hold_budget_ns}, hold_min, config_.freeze_budget);
    budgets.freeze = std::clamp(Nanoseconds{prepare_.freeze_budget_ns}, hold_min, budgets.hold);
    auto report = parts_.freezer.freeze(budgets, *this);
    if (report) {
        frozen_ = {freeze_.lease_id, report->first_freeze.count(), report->frozen.count(),
                   std::move(report->evidence)};
        hold_until_ = report->first_freeze + budgets.hold;
        return feed(Event::froze);
    }
    // Cancelled: the session has decided what comes next, and that begins with a thaw.
    if (report.error().code == Errc::cancelled) return;
    freeze_error_ = report.error();
    parts_.log.line(Severity::error, "freeze failed: " + report.error().text);
    keep_thawed(parts_.freezer.thaw(*this), false);
    feed(Event::freeze_failed);
}

void Agent::start_thaw() {
    const bool asked = state_ == State::thawing;
    const ThawReport report = parts_.freezer.thaw(*this);
    hold_until_ = Nanoseconds::zero();
    keep_thawed(report, asked);
    if (report.problem.empty()) {
        const Nanoseconds frozen = report.thawed - Nanoseconds{frozen_.first_freeze_ns};
        parts_.log.line(Severity::info,
                        "thawed frozen_ms=" + in_ms(frozen) + " own_ms=" + in_ms(report.own));
    } else {
        parts_.log.line(Severity::error, "the freeze did not hold: " + report.problem);
    }
    feed(Event::thaw_done);
}

/// @param asked the host's Thaw came before the thaw: only then did the freeze cover its snapshot
void Agent::keep_thawed(const ThawReport& report, bool asked) {
    thawed_.held = report.held && asked;
    thawed_.first_freeze_ns = frozen_.first_freeze_ns;
    thawed_.frozen_ns = frozen_.frozen_ns;
    thawed_.thaw_ns = report.thaw.count();
    thawed_.thawed_ns = report.thawed.count();
    thawed_.evidence = report.evidence;
}

}  // namespace stillpoint::linux_guest
