#pragma once
#include <algorithm>
#include <optional>

#include "hypervisor/hypervisor.hpp"

namespace stillpoint::route {

/// Decides how fast a guest's disks may be read, from what its writes take: twice as long as before
/// the snapshot is too long (I6). Halves the speed at each look that finds it so, and doubles it
/// after some that do not. Means, because that is all QEMU counts. Pure. ADR-0015
class Governor {
public:
    /// @param usual what a write took before the snapshot; nullopt: hardly any was seen
    explicit Governor(std::optional<env::Nanoseconds> usual)
        : limit_(usual ? std::max(2 * *usual, least_limit) : limit_of_idle) {}

    /// The mean of the writes between two counts; nullopt: too few to tell.
    [[nodiscard]] static std::optional<env::Nanoseconds> mean(const hypervisor::GuestWrites& before,
                                                              const hypervisor::GuestWrites& now) {
        if (now.count < before.count + writes_min || now.time < before.time) return std::nullopt;
        return (now.time - before.time) / static_cast<std::int64_t>(now.count - before.count);
    }
    /// @return by what full speed is divided until the next look, a power of two
    unsigned look(const hypervisor::GuestWrites& now) {
        const auto took = last_ ? mean(*last_, now) : std::nullopt;
        last_ = now;
        if (took && *took > limit_) {
            divisor_ = std::min(divisor_ * 2, divisor_max);
            calm_ = 0;
        } else if (++calm_ >= calm_looks) {
            divisor_ = std::max(divisor_ / 2, 1u);
            calm_ = 0;
        }
        slowed_ += divisor_ > 1 ? 1 : 0;
        return divisor_;
    }
    /// Looks after which the speed was not full.
    [[nodiscard]] unsigned slowed() const { return slowed_; }
    [[nodiscard]] env::Nanoseconds limit() const { return limit_; }

    static constexpr unsigned divisor_max = 64;
    static constexpr unsigned calm_looks = 3;
    static constexpr std::uint64_t writes_min = 16;
    // Below it nobody waits for a disk; it keeps noise from slowing a backup.
    static constexpr env::Nanoseconds least_limit = std::chrono::microseconds{500};
    static constexpr env::Nanoseconds limit_of_idle = std::chrono::milliseconds{20};

private:
    env::Nanoseconds limit_;
    std::optional<hypervisor::GuestWrites> last_;
    unsigned divisor_ = 1;
    unsigned calm_ = 0;
    unsigned slowed_ = 0;
};

}  // namespace stillpoint::route
