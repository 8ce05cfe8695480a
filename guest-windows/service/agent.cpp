#include "service/agent.hpp"

#include <algorithm>

namespace stillpoint::windows_guest {

using os::nanoseconds;
using quiesce::Action;
using quiesce::Event;
using quiesce::State;

namespace {

constexpr nanoseconds round_max = std::chrono::minutes{1};
// The provider ends its hold by itself; this is for one that VSS never called back.
constexpr nanoseconds hold_slack = std::chrono::milliseconds{500};

}  // namespace

void Agent::run() {
    read_configuration();
    parts_.hooks.recover(config_);
    while (!stopping_ || state_ != State::idle || !open_job_.empty()) round();
}

/// Waits for the next thing to do and does it.
void Agent::round() {
    if (state_ == State::idle && recovered_) adopt_hello();
    parts_.wake.wait_until(std::min(timer(), os::now() + round_max));
    look_at_gate();
    while (auto item = parts_.inbox.take()) {
        take(*item);
        look_at_gate();
    }
    if (os::now() >= timer()) take_timer();
}

/// First: while writes are held nothing else matters.
void Agent::look_at_gate() {
    if (state_ == State::freezing && parts_.gate.holding()) feed(Event::froze);
    const bool let_go = parts_.gate.end() == HoldGate::End::expired;
    if (state_ == State::frozen && let_go) feed(Event::deadline);
}

nanoseconds Agent::session_timer() const {
    switch (quiesce::timer_in(state_)) {
        case quiesce::Timer::host:
            return entered_ + nanoseconds{quiesce::host_wait_ns_max};
        case quiesce::Timer::hold:
            return entered_ +
                   (state_ == State::freezing ? rules_.writers_budget : hold_ + hold_slack);
        case quiesce::Timer::none:
            break;
    }
    return open_job_.empty() ? nanoseconds::max() : open_until_;
}

void Agent::take_timer() {
    if (os::now() >= examine_until_) {
        examine_until_ = nanoseconds::max();
        parts_.worker.cancel_examination();
    }
    if (os::now() < session_timer()) return;
    if (quiesce::timer_in(state_) != quiesce::Timer::none) return feed(Event::deadline);
    if (open_job_.empty()) return;
    parts_.log.line(Severity::warning, "no word that the data of the last backup is safe");
    end_open(VssBackup::Outcome::failure);
}

void Agent::take(InboxItem& item) {
    if (const auto* frame = std::get_if<serialization::Frame>(&item)) return take_frame(*frame);
    if (std::holds_alternative<HostLost>(item)) return feed(Event::channel_lost);
    if (const auto* line = std::get_if<LogLine>(&item)) {
        return parts_.log.line(line->severity, line->text);
    }
    if (auto* report = std::get_if<HookReport>(&item)) return take_hooks(*report);
    if (auto* report = std::get_if<WorkerReport>(&item)) {
        return std::visit([this](auto& of_kind) { take_report(of_kind); }, *report);
    }
    stopping_ = true;
    parts_.log.line(Severity::info, "asked to stop");
    feed(Event::channel_lost);
    end_open(VssBackup::Outcome::failure);
}

/// Steps the session and carries out its action, which never waits.
void Agent::feed(Event event) {
    const quiesce::Step step = quiesce::step(state_, event);
    if (step.next != state_) entered_ = os::now();
    state_ = step.next;
    carry_out(step.action);
    // In the window nothing is written; what gathered is written as soon as it is over.
    if (!quiesce::may_be_frozen(state_)) parts_.log.release();
}

void Agent::carry_out(Action action) {
    switch (action) {
        case Action::none:
            return;
        case Action::send_order_error:
            return send_error({Errc::busy,
                               "protocol.order",
                               "not possible now: the session is " + std::string(name_of(state_)),
                               {}});
        case Action::run_pre:
            return run_pre();
        case Action::send_prepared:
            return send(prepared_);
        case Action::start_freeze:
            return start_freeze();
        case Action::send_frozen:
            return send_frozen();
        case Action::send_freeze_failed:
            if (freeze_error_) send_error(*freeze_error_);
            return;
        case Action::start_thaw:
            return start_thaw();
        case Action::send_thawed:
            return send(thawed_);
        case Action::run_post:
            return run_post(finish_success_);
        case Action::run_post_failed:
            return run_post(false);
        case Action::send_finished:
            return send(finished_);
    }
}

}  // namespace stillpoint::windows_guest
