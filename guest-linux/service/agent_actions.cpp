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
    if (prepare_.wanted == serialization::Level::application && actions_.empty()) {
        std::vector<Hook> hooks = configured_hooks();
        hooks_.recover(hooks, steady_hands_);
        HookEngine::PreReport report =
            hooks_.run_pre(std::move(hooks), prepare_.job_id, until, {hands_, steady_hands_});
        prepared_.evidence = std::move(report.evidence);
        prepared_.freeze_needed = report.freeze_needed;
        prepared_.refusal = std::move(report.refusal);
    }
    feed(Event::pre_done);
}

void Agent::run_post(bool success) {
    finished_.job_id = prepare_.job_id;
    finished_.evidence = hooks_.lost();
    const auto ended = hooks_.finish(success, steady_hands_);
    finished_.evidence.insert(finished_.evidence.end(), ended.begin(), ended.end());
    feed(Event::post_done);
}

/// As they are configured now: the one of guest.xml, then the folder's.
std::vector<Hook> Agent::configured_hooks() {
    HookFolder folder = read_hook_folder(config_.hooks_folder, parts_.trust, config_.hook_defaults);
    for (const std::string& name : folder.ignored) {
        parts_.log.line(Severity::warning,
                        config_.hooks_folder + "/" + name + " is no hook: its name is not NN-name");
    }
    if (config_.hook) folder.hooks.insert(folder.hooks.begin(), *config_.hook);
    return std::move(folder.hooks);
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
    const auto lost = hooks_.lost();
    thawed_.evidence.insert(thawed_.evidence.end(), lost.begin(), lost.end());
}

}  // namespace stillpoint::linux_guest
