#include <cstddef>

#include "quiesce/session.hpp"

/// What the table of moves must fulfil, whatever is changed in it.
namespace stillpoint::quiesce {
namespace {

// I4 and I9 in the table itself: nothing leaves the frozen states but through a thaw that ended.
constexpr bool only_a_thaw_leaves_the_frozen_states() {
    for (const Move& move : moves) {
        const bool leaves = may_be_frozen(move.from) && !may_be_frozen(move.to);
        if (leaves && move.on != Event::thaw_done && move.on != Event::freeze_failed) return false;
    }
    return true;
}
static_assert(only_a_thaw_leaves_the_frozen_states());

// A cancel is never refused; a lost channel never leaves a state that holds something still.
constexpr bool the_host_can_always_end_it() {
    for (const auto& [state, name] : state_names) {
        if (step(state, Event::cancel).action == Action::send_order_error) return false;
        const State then = step(state, Event::channel_lost).next;
        if (then != State::idle && then != State::aborting && then != State::finishing)
            return false;
    }
    return true;
}
static_assert(the_host_can_always_end_it());

// I9: a host may vanish without a hang-up. Where only it could end a state, a timer does.
constexpr bool no_state_waits_for_ever() {
    for (const auto& [state, name] : state_names) {
        const bool waits = step(state, Event::freeze).action != Action::send_order_error ||
                           step(state, Event::finish).action != Action::send_order_error ||
                           state == State::frozen;
        if (waits && timer_in(state) == Timer::none) return false;
        if (timer_in(state) != Timer::none && step(state, Event::deadline).next == state)
            return false;
    }
    return true;
}
static_assert(no_state_waits_for_ever());

constexpr bool moves_are_unambiguous() {
    for (std::size_t a = 0; a < moves.size(); ++a) {
        for (std::size_t b = a + 1; b < moves.size(); ++b) {
            if (moves[a].from == moves[b].from && moves[a].on == moves[b].on) return false;
        }
    }
    return true;
}
static_assert(moves_are_unambiguous());

}  // namespace
}  // namespace stillpoint::quiesce
