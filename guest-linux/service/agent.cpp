#include "service/agent.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "hooks/journal_file.hpp"

namespace stillpoint::linux_guest {

using os::boottime;
using os::Nanoseconds;
using quiesce::Action;
using quiesce::Event;
using quiesce::State;

namespace {

constexpr Nanoseconds round_max = std::chrono::minutes{1};

}  // namespace

Agent::Agent(const GuestConfig& config, const Parts& parts)
    : config_(config),
      parts_(parts),
      hooks_({parts.hooks, parts.journal, boottime,
              [this](const std::string& line, bool good) {
                  parts_.log.line(good ? Severity::info : Severity::warning, line);
              },
              boot_id()}) {}

void Agent::run() {
    hooks_.recover(configured_hooks(), steady_hands_);
    while (!stopping_ || state_ != State::idle || !actions_.empty()) {
        if (actions_.empty()) {
            idle_round();
            continue;
        }
        const Action action = actions_.front();
        actions_.pop_front();
        carry_out(action);
    }
}

/// Waits for the next thing to do, tending to what is frozen.
void Agent::idle_round() {
    if (state_ == State::idle) {
        os::reap_finished();
        adopt_hello();
        if (std::exchange(reload_wanted_, false)) run_reload();
        if (doctor_) return run_doctor();
    }
    std::vector<pollfd> watched;
    Nanoseconds until = boottime() + round_max;
    if (state_ == State::frozen) {
        if (const Status held = parts_.freezer.tend(); !held) {
            parts_.log.line(Severity::error, "the freeze broke: " + held.error().text);
            return feed(Event::deadline);
        }
        parts_.freezer.watch(watched);
        until = boottime() + heartbeat_every / 2;
    }
    pump(watched, until);
    if (timer_passed()) feed(Event::deadline);
}

os::WaitEnd Agent::wait(std::span<pollfd> watched, Nanoseconds until) {
    for (;;) {
        if (timer_passed()) feed(Event::deadline);
        if (!actions_.empty()) return os::WaitEnd::cancelled;
        if (pump_once(watched, until)) return os::WaitEnd::ready;
        if (boottime() >= until && actions_.empty()) return os::WaitEnd::timeout;
    }
}

os::WaitEnd Agent::SteadyWaiter::wait(std::span<pollfd> watched, Nanoseconds until) {
    for (;;) {
        if (agent_.pump_once(watched, until)) return os::WaitEnd::ready;
        if (boottime() >= until) return os::WaitEnd::timeout;
    }
}

/// @return true: one of `watched` has an event
bool Agent::pump_once(std::span<pollfd> watched, Nanoseconds until) {
    for (pollfd& entry : watched) entry.revents = 0;
    pump(watched, until);
    return std::ranges::any_of(watched, [](const pollfd& entry) { return entry.revents != 0; });
}

/// One poll over what the caller watches, the line and the stop signal.
void Agent::pump(std::span<pollfd> watched, Nanoseconds until) {
    std::vector<pollfd> all{watched.begin(), watched.end()};
    all.push_back({parts_.line.poll_fd(), POLLIN, 0});
    all.push_back({parts_.reload_fd, POLLIN, 0});
    all.push_back({stopping_ ? -1 : parts_.stop_fd, POLLIN, 0});
    until = std::min({until, timer(), parts_.line.wake_at()});
    const int ready = ::poll(all.data(), all.size(), os::poll_ms(boottime(), until));
    if (ready < 0) return;  // EINTR: the caller looks at its times again
    for (std::size_t i = 0; i < watched.size(); ++i) watched[i].revents = all[i].revents;
    serve_line(all[watched.size()].revents);
    if (all[watched.size() + 1].revents != 0) take_reload();
    if (all.back().revents != 0) take_stop();
}

/// Carried out between two backups: one keeps the configuration that it began with.
void Agent::take_reload() {
    signalfd_siginfo signal{};
    while (::read(parts_.reload_fd, &signal, sizeof signal) > 0) reload_wanted_ = true;
}

void Agent::run_reload() {
    if (!parts_.reload) return;
    auto config = parts_.reload();
    if (!config) {
        parts_.log.line(Severity::error,
                        "the configuration stays as it was: " + config.error().text);
        return;
    }
    config_ = *std::move(config);
    parts_.freezer.use(config_.rules);
    parts_.log.line(Severity::info, "read the configuration anew");
}

void Agent::take_stop() {
    stopping_ = true;
    parts_.log.line(Severity::info, "asked to stop");
    feed(Event::channel_lost);
}

Nanoseconds Agent::timer() const {
    switch (quiesce::timer_in(state_)) {
        case quiesce::Timer::host:
            return entered_ + Nanoseconds{quiesce::host_wait_ns_max};
        case quiesce::Timer::hold:
            if (hold_until_ != Nanoseconds::zero()) return hold_until_;
            break;
        case quiesce::Timer::none:
            break;
    }
    return Nanoseconds::max();
}

bool Agent::timer_passed() const {
    return boottime() >= timer();
}

/// Steps the session. Actions are queued, so that one under way is told by `wait` and ends first;
/// a refusal needs no order.
void Agent::feed(Event event) {
    const quiesce::Step step = quiesce::step(state_, event);
    if (step.next != state_) entered_ = boottime();
    state_ = step.next;
    if (step.action == Action::send_order_error) {
        send_error({Errc::busy,
                    "protocol.order",
                    "not possible now: the session is " + std::string(name_of(state_)),
                    {}});
    } else if (step.action != Action::none) {
        actions_.push_back(step.action);
    }
}

void Agent::carry_out(Action action) {
    switch (action) {
        case Action::none:
        case Action::send_order_error:
            break;
        case Action::run_pre:
            run_pre();
            break;
        case Action::send_prepared:
            send(prepared_);
            break;
        case Action::start_freeze:
            start_freeze();
            break;
        case Action::send_frozen:
            send(frozen_);
            break;
        case Action::send_freeze_failed:
            if (freeze_error_) send_error(*freeze_error_);
            break;
        case Action::start_thaw:
            start_thaw();
            break;
        case Action::send_thawed:
            send(thawed_);
            break;
        case Action::run_post:
            run_post(finish_success_);
            break;
        case Action::run_post_failed:
            run_post(false);
            break;
        case Action::send_finished:
            send(finished_);
            break;
    }
    // In the window nothing is written; what gathered is written as soon as it is over.
    if (!quiesce::may_be_frozen(state_)) parts_.log.release();
}

}  // namespace stillpoint::linux_guest
