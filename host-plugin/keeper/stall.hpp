#pragma once
#include <algorithm>
#include <optional>

#include "env/clock.hpp"
#include "env/process.hpp"

namespace stillpoint::keeper {

/// Tells an owner that hangs from one that is only starved of processor time, by its silence and by
/// what its heart's thread does meanwhile. Who waits for a processor is runnable, or has run since
/// the last look; who is stopped, or waits for a lock or a device for that long, hangs. Pure.
/// @threads one at a time
class StallJudge {
public:
    enum class Verdict {
        wait,
        starved,  // likewise; it is worth a word
        hangs,
    };
    /// @param stall silence after which an owner hangs unless it is starved
    StallJudge(env::Nanoseconds stall, env::Nanoseconds now) : stall_(stall) { heard(now); }

    /// The owner said something.
    void heard(env::Nanoseconds now) {
        last_word_ = now;
        next_look_ = now + stall_ / 2;
        before_.reset();
    }
    [[nodiscard]] env::Nanoseconds next_look() const { return next_look_; }

    /// @param heart what the thread does now; nullopt: nobody knows
    [[nodiscard]] Verdict look(env::Nanoseconds now, std::optional<env::ThreadLook> heart) {
        // Who looks too late was frozen itself, most likely together with the owner.
        if (now > next_look_ + lateness_max) {
            heard(now);
            return Verdict::wait;
        }
        const bool starved = heart && is_starved(*heart);
        before_ = heart;
        const env::Nanoseconds silence = now - last_word_;
        next_look_ = silence < stall_ ? last_word_ + stall_ : now + stall_ / 4;
        if (silence < stall_) return Verdict::wait;
        return starved && silence < std::max(starved_max, stall_) ? Verdict::starved
                                                                  : Verdict::hangs;
    }

    static constexpr env::Nanoseconds lateness_max = std::chrono::seconds{1};
    /// An owner that gets no processor for so long cannot look after the guest's scratch either.
    static constexpr env::Nanoseconds starved_max = std::chrono::seconds{30};

private:
    [[nodiscard]] bool is_starved(const env::ThreadLook& heart) const {
        if (heart.state == 'R') return true;
        const bool alive = heart.state == 'S' || heart.state == 'D';
        return alive && before_ && heart.turns != before_->turns;
    }

    env::Nanoseconds stall_;
    env::Nanoseconds last_word_{};
    env::Nanoseconds next_look_{};
    std::optional<env::ThreadLook> before_;  // the last look since the last word
};

}  // namespace stillpoint::keeper
