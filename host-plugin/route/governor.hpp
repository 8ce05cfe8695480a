#pragma once
#include <algorithm>
#include <optional>

#include "hypervisor/hypervisor.hpp"

namespace stillpoint::route {

/// Decides how fast a guest's disks may be read, from what its writes take: twice as long as before
/// the snapshot is too long (I6). Halves the speed at each look that finds it so, and doubles it
/// after some that do not. Where that does not help, because the copying itself is slow, it gives
/// the backup up before the guest is harmed. Means, because that is all QEMU counts. Pure. ADR-0015
class Governor {
public:
    /// @param usual what a write took before the snapshot; nullopt: hardly any was seen
    /// @param unbearable what no write may take for long; nullopt: the backup is never given up
    explicit Governor(std::optional<env::Nanoseconds> usual,
                      std::optional<env::Nanoseconds> unbearable = {})
        : limit_(usual ? std::max(2 * *usual, least_limit) : limit_of_idle) {
        if (unbearable)
            unbearable_ = std::max(*unbearable, usual_times * usual.value_or(env::Nanoseconds{}));
    }

    /// The mean of the writes between two counts; nullopt: too few to tell.
    [[nodiscard]] static std::optional<env::Nanoseconds> mean(const hypervisor::GuestWrites& before,
                                                              const hypervisor::GuestWrites& now) {
        if (now.count < before.count + writes_min || now.time < before.time) return std::nullopt;
        return (now.time - before.time) / static_cast<std::int64_t>(now.count - before.count);
    }
    /// @return by what full speed is divided until the next look, a power of two
    unsigned look(const hypervisor::GuestWrites& now) {
        const auto took = last_ ? mean(*last_, now) : std::nullopt;
        const bool unbearable = last_ && is_unbearable(*last_, now);
        const bool waits = may_wait(now, unbearable);
        last_ = now;
        if (unbearable || (took && *took > limit_)) {
            divisor_ = std::min(divisor_ * 2, divisor_max);
            calm_ = 0;
        } else if (!waits && ++calm_ >= calm_looks) {
            divisor_ = std::max(divisor_ / 2, 1u);
            calm_ = 0;
        }
        slowed_ += divisor_ > 1 ? 1 : 0;
        return divisor_;
    }
    /// Looks after which the speed was not full.
    [[nodiscard]] unsigned slowed() const { return slowed_; }
    [[nodiscard]] env::Nanoseconds limit() const { return limit_; }
    /// Read as slowly as possible, writes took more than anybody can bear at so many looks in a row
    /// at which any ended.
    [[nodiscard]] bool gives_up() const { return suffered_ >= suffering_looks; }
    [[nodiscard]] env::Nanoseconds unbearable() const {
        return unbearable_.value_or(env::Nanoseconds{});
    }

    static constexpr unsigned divisor_max = 64;
    static constexpr unsigned calm_looks = 3;
    static constexpr std::uint64_t writes_min = 16;
    // Below it nobody waits for a disk; it keeps noise from slowing a backup.
    static constexpr env::Nanoseconds least_limit = std::chrono::microseconds{500};
    static constexpr env::Nanoseconds limit_of_idle = std::chrono::milliseconds{20};
    static constexpr unsigned suffering_looks = 5;
    static constexpr int usual_times = 8;  // of a guest whose disks are always that slow
    // After an unbearable write: so long a silence is a guest that has nothing more to write. Most
    // of them take a disk for broken after 30 s.
    static constexpr unsigned silent_looks = 30;

private:
    // A look at which no write ended may lie in the middle of one that takes seconds.
    bool may_wait(const hypervisor::GuestWrites& now, bool unbearable) {
        const bool silent = last_ && now.count == last_->count;
        if (!silent) silence_ = unbearable ? silent_looks : 0;
        if (!silent || silence_ == 0) return false;
        --silence_;
        return true;
    }

    // A few writes are enough to tell: so slow ones are no noise, and a guest that waits for each
    // of them makes no more.
    bool is_unbearable(const hypervisor::GuestWrites& before, const hypervisor::GuestWrites& now) {
        if (!unbearable_ || now.count <= before.count || now.time < before.time) return false;
        const auto count = static_cast<std::int64_t>(now.count - before.count);
        const bool unbearable = (now.time - before.time) / count > *unbearable_;
        suffered_ = unbearable ? suffered_ + (divisor_ == divisor_max ? 1 : 0) : 0;
        return unbearable;
    }

    env::Nanoseconds limit_;
    std::optional<env::Nanoseconds> unbearable_;
    std::optional<hypervisor::GuestWrites> last_;
    unsigned divisor_ = 1;
    unsigned calm_ = 0;
    unsigned slowed_ = 0;
    unsigned suffered_ = 0;
    unsigned silence_ = 0;  // looks without a write that may still be one long write
};

}  // namespace stillpoint::route
