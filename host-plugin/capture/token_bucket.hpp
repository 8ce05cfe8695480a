#pragma once
#include <algorithm>

#include "env/clock.hpp"

namespace stillpoint::capture {

/// A limit on bytes per second, as a schedule: each taking moves the time at which the next may
/// come. A pause is forgiven for at most `catch_up`, so that late wake-ups cost no throughput and a
/// long idle time gives no burst.
/// @threads one at a time
class TokenBucket {
public:
    static constexpr env::Nanoseconds catch_up = std::chrono::milliseconds{50};

    /// @param bytes_per_second 0: no limit
    TokenBucket(const env::Clock& clock, std::uint64_t bytes_per_second)
        : clock_(&clock), rate_(bytes_per_second), next_(clock.monotonic()) {}

    /// From now on. @param bytes_per_second 0: no limit
    void set_rate(std::uint64_t bytes_per_second) {
        // What the old rate put off is not waited for at the new one.
        if (rate_ != bytes_per_second) next_ = std::min(next_, clock_->monotonic());
        rate_ = bytes_per_second;
    }

    /// @return zero: taken; else how long to wait before asking again (nothing was taken)
    [[nodiscard]] env::Nanoseconds take(std::uint64_t bytes) {
        if (rate_ == 0) return {};
        const env::Nanoseconds now = clock_->monotonic();
        if (now < next_) return next_ - now;
        // In double: 32 MiB at 1 byte/s still fits, and the error is far below the clock's own.
        const double cost_ns = static_cast<double>(bytes) * 1e9 / static_cast<double>(rate_);
        next_ =
            std::max(next_, now - catch_up) + env::Nanoseconds{static_cast<std::int64_t>(cost_ns)};
        return {};
    }

private:
    const env::Clock* clock_;
    std::uint64_t rate_;
    env::Nanoseconds next_;
};

}  // namespace stillpoint::capture
