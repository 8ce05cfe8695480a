#include "sim/model_guest.hpp"

namespace stillpoint::sim {

using quiesce::Action;
using quiesce::Event;
using quiesce::State;

void GuestModel::step(Event event, env::Nanoseconds now) {
    const quiesce::Step step = quiesce::step(state_, event);
    state_ = step.next;
    if (event == Event::deadline && step.action == Action::start_thaw) held = false;
    act(step.action, now);
}

void GuestModel::act(Action action, env::Nanoseconds now) {
    switch (action) {
        case Action::run_pre:
            ++pre_runs_;
            return step(Event::pre_done, now);
        case Action::start_freeze:
            if (script.manner == Manner::no_filesystem) return step(Event::freeze_failed, now);
            first_freeze = frozen_at = now;
            held = true;
            hold_ = now + hold_budget;
            return step(Event::froze, now);
        case Action::start_thaw:
            thaw_at = thawed_at = now;
            hold_.reset();
            return step(Event::thaw_done, now);
        case Action::run_post:
        case Action::run_post_failed:
            ++post_runs_;
            return step(Event::post_done, now);
        case Action::none:
        case Action::send_prepared:
        case Action::send_frozen:
        case Action::send_freeze_failed:
        case Action::send_thawed:
        case Action::send_finished:
        case Action::send_order_error:
            return;
    }
}

void GuestModel::request(Event event, env::Nanoseconds now) {
    if (!dead_) step(event, now);
}

void GuestModel::look_at(env::Nanoseconds now) {
    if (!hold_ || now < *hold_) return;
    hold_.reset();
    step(Event::deadline, now);  // with the extension dead its watchdog does the same
}

void GuestModel::channel_lost(env::Nanoseconds now) {
    if (!dead_) step(Event::channel_lost, now);
}

void GuestModel::machine_gone() {
    state_ = State::idle;
    hold_.reset();
    pre_runs_ = post_runs_ = 0;
}

void GuestModel::machine_started() {
    machine_gone();
    dead_ = false;
}

}  // namespace stillpoint::sim
