#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "serialization/enum_text.hpp"

// clang-format off
/// One quiesce session in the guest as a table of moves (docs/protocol.md, I4, I9). Pure: its
/// driver feeds events and carries out the one action each step answers with.
///
///     idle -prepare-> preparing -pre_done-> prepared -freeze-> freezing -froze-> frozen
///      ^                                       |                                    | thaw
///      |                                       | finish                             v
///      +-post_done- finishing <----------------+---- finish - thawed <-thaw_done- thawing
///
/// A lost channel, a cancel or a passed deadline leads from everywhere back to idle, through the
/// thaw where something may be frozen, and through the post hooks where pre hooks may have started.
/// session_proofs.cpp proves that at compile time.
// clang-format on
namespace stillpoint::quiesce {

enum class State {
    idle,       // no session; nothing is owed
    preparing,  // pre hooks run
    prepared,   // they ended; nothing is frozen
    freezing,   // some filesystems may be frozen
    frozen,     // all are
    expiring,   // the hold deadline passed: thawing without having been asked
    thawing,    // thawing as the host asked
    thawed,     // nothing is frozen any more; the Thawed message is kept for a repeated Thaw
    aborting,   // thawing after a cancel or a lost channel
    finishing,  // post hooks run
};
inline constexpr serialization::EnumTable<State, 10> state_names{{{State::idle, "idle"},
                                                                  {State::preparing, "preparing"},
                                                                  {State::prepared, "prepared"},
                                                                  {State::freezing, "freezing"},
                                                                  {State::frozen, "frozen"},
                                                                  {State::expiring, "expiring"},
                                                                  {State::thawing, "thawing"},
                                                                  {State::thawed, "thawed"},
                                                                  {State::aborting, "aborting"},
                                                                  {State::finishing, "finishing"}}};
SP_ENUM_TEXT(State, state_names)

enum class Event {
    // What the host asks. Unlisted in a state: refused with an Error message, the state stays.
    prepare,
    freeze,
    thaw,
    finish,
    cancel,
    // What happens. Unlisted in a state: means nothing there.
    channel_lost,   // hang-up, or a Hello of another session
    deadline,       // the timer of timer_in(state) ran out
    pre_done,       // all pre hooks ended, well or not; their evidence is known
    froze,          // every filesystem of the plan is frozen
    freeze_failed,  // one could not be frozen; those that were have been thawed again
    thaw_done,      // every FITHAW ended; whether the freeze had held is in the evidence
    post_done,      // all post hooks ended, well or not
};
inline constexpr std::array all_events{Event::prepare,       Event::freeze,    Event::thaw,
                                       Event::finish,        Event::cancel,    Event::channel_lost,
                                       Event::deadline,      Event::pre_done,  Event::froze,
                                       Event::freeze_failed, Event::thaw_done, Event::post_done};

[[nodiscard]] constexpr bool is_request(Event event) {
    return event <= Event::cancel;
}

/// What the driver has to do. `send_…` to a session whose channel is gone goes nowhere.
enum class Action {
    none,
    run_pre,  // start the pre hooks (none configured: answer pre_done at once)
    send_prepared,
    start_freeze,  // arm the watchdog, then freeze
    send_frozen,
    send_freeze_failed,  // an Error message in place of Frozen
    start_thaw,          // stop a freeze under way, thaw what we froze, disarm
    send_thawed,         // the kept message, also a second time
    run_post,            // the post hooks, with the success that Finish told
    run_post_failed,     // stop pre hooks still running, then the post hooks, told of a failure
    send_finished,
    send_order_error,  // Error "protocol.order": not possible in this state; retriable
};

/// Which deadline runs in a state; its end is Event::deadline.
enum class Timer {
    none,
    host,  // host_wait_max: nothing is frozen, but hooks may hold an application still
    hold,  // Freeze.hold_budget_ns from the *first* freeze; the watchdog keeps it as well (I4)
};

struct Move {
    State from;
    Event on;
    State to;
    Action action;
};

// clang-format off
inline constexpr std::array moves{
    Move{State::idle,      Event::prepare,       State::preparing, Action::run_pre},
    Move{State::idle,      Event::cancel,        State::idle,      Action::send_finished},

    Move{State::preparing, Event::pre_done,      State::prepared,  Action::send_prepared},
    Move{State::preparing, Event::cancel,        State::finishing, Action::run_post_failed},
    Move{State::preparing, Event::channel_lost,  State::finishing, Action::run_post_failed},

    Move{State::prepared,  Event::freeze,        State::freezing,  Action::start_freeze},
    Move{State::prepared,  Event::finish,        State::finishing, Action::run_post},
    Move{State::prepared,  Event::cancel,        State::finishing, Action::run_post_failed},
    Move{State::prepared,  Event::channel_lost,  State::finishing, Action::run_post_failed},
    Move{State::prepared,  Event::deadline,      State::finishing, Action::run_post_failed},

    Move{State::freezing,  Event::froze,         State::frozen,    Action::send_frozen},
    Move{State::freezing,  Event::freeze_failed, State::thawed,    Action::send_freeze_failed},
    Move{State::freezing,  Event::thaw,          State::thawing,   Action::start_thaw},
    Move{State::freezing,  Event::deadline,      State::expiring,  Action::start_thaw},
    Move{State::freezing,  Event::cancel,        State::aborting,  Action::start_thaw},
    Move{State::freezing,  Event::channel_lost,  State::aborting,  Action::start_thaw},

    Move{State::frozen,    Event::thaw,          State::thawing,   Action::start_thaw},
    Move{State::frozen,    Event::deadline,      State::expiring,  Action::start_thaw},
    Move{State::frozen,    Event::cancel,        State::aborting,  Action::start_thaw},
    Move{State::frozen,    Event::channel_lost,  State::aborting,  Action::start_thaw},

    Move{State::expiring,  Event::thaw_done,     State::thawed,    Action::none},
    Move{State::expiring,  Event::thaw,          State::thawing,   Action::none},
    Move{State::expiring,  Event::cancel,        State::aborting,  Action::none},
    Move{State::expiring,  Event::channel_lost,  State::aborting,  Action::none},

    Move{State::thawing,   Event::thaw_done,     State::thawed,    Action::send_thawed},
    Move{State::thawing,   Event::thaw,          State::thawing,   Action::none},
    Move{State::thawing,   Event::cancel,        State::aborting,  Action::none},
    Move{State::thawing,   Event::channel_lost,  State::aborting,  Action::none},

    Move{State::thawed,    Event::thaw,          State::thawed,    Action::send_thawed},
    Move{State::thawed,    Event::finish,        State::finishing, Action::run_post},
    Move{State::thawed,    Event::cancel,        State::finishing, Action::run_post_failed},
    Move{State::thawed,    Event::channel_lost,  State::finishing, Action::run_post_failed},
    Move{State::thawed,    Event::deadline,      State::finishing, Action::run_post_failed},

    Move{State::aborting,  Event::thaw_done,     State::finishing, Action::run_post_failed},
    Move{State::aborting,  Event::cancel,        State::aborting,  Action::none},

    Move{State::finishing, Event::post_done,     State::idle,      Action::send_finished},
    Move{State::finishing, Event::cancel,        State::finishing, Action::none},
};
// clang-format on

struct Step {
    State next;
    Action action;
    friend constexpr bool operator==(const Step&, const Step&) = default;
};

/// Total: an unlisted request is refused, an unlisted happening changes nothing.
[[nodiscard]] constexpr Step step(State state, Event event) {
    for (const Move& move : moves) {
        if (move.from == state && move.on == event) return {move.to, move.action};
    }
    return {state, is_request(event) ? Action::send_order_error : Action::none};
}

[[nodiscard]] constexpr Timer timer_in(State state) {
    if (state == State::prepared || state == State::thawed) return Timer::host;
    return state == State::freezing || state == State::frozen ? Timer::hold : Timer::none;
}

/// Whether a filesystem may be frozen by us.
[[nodiscard]] constexpr bool may_be_frozen(State state) {
    return state == State::freezing || state == State::frozen || state == State::expiring ||
           state == State::thawing || state == State::aborting;
}

// Between two requests the host reserves scratch or keeps what the VM is made of: seconds.
inline constexpr std::int64_t host_wait_ns_max = 120'000'000'000;

}  // namespace stillpoint::quiesce
