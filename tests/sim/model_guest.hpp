#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "env/clock.hpp"
#include "quiesce/session.hpp"
#include "serialization/messages.hpp"

/// The extension in the guest: honest by default, otherwise as its script says. It moves by the
/// very table that the real one uses; its deadline is kept by the caller's look at the clock.
namespace stillpoint::sim {

enum class Manner {
    honest,
    no_port,
    absent,
    silent,         // from `at` on it does what is asked and says nothing
    dies,           // at `at`; its watchdog thaws when the hold budget is over
    wrong_lease,    // in Frozen
    not_held,       // says itself that the freeze did not hold
    no_filesystem,  // froze nothing and says so
    short_hold,     // its own times prove that it did not hold
    hook_fails,     // and is allowed to
    hook_refuses,   // … and is not: no point may be kept
};

struct GuestScript {
    Manner manner = Manner::honest;
    std::string at;  // request: Prepare, Freeze, Thaw or Finish
    bool hooks = false;
};

class GuestModel {
public:
    GuestScript script;

    /// What was asked is done at once; answers are the caller's to fetch.
    void request(quiesce::Event event, env::Nanoseconds now);
    /// Its timer: to be called whenever time has passed.
    void look_at(env::Nanoseconds now);
    void channel_lost(env::Nanoseconds now);
    /// The extension's process ends; only its watchdog is left.
    void die() { dead_ = true; }
    void machine_gone();
    void machine_started();

    [[nodiscard]] bool frozen() const { return quiesce::may_be_frozen(state_); }
    [[nodiscard]] bool dead() const { return dead_; }
    /// Nothing is frozen and no post hook is owed.
    [[nodiscard]] bool settled() const { return !frozen() && (dead_ || pre_runs_ == post_runs_); }
    [[nodiscard]] quiesce::State state() const { return state_; }

    // Times of the last freeze, by the host's clock.
    env::Nanoseconds first_freeze{}, frozen_at{}, thaw_at{}, thawed_at{};
    bool held = false;
    env::Nanoseconds hold_budget = std::chrono::seconds{5};

private:
    void step(quiesce::Event event, env::Nanoseconds now);
    void act(quiesce::Action action, env::Nanoseconds now);

    quiesce::State state_ = quiesce::State::idle;
    std::optional<env::Nanoseconds> hold_;
    bool dead_ = false;
    int pre_runs_ = 0;
    int post_runs_ = 0;
};

}  // namespace stillpoint::sim
