#pragma once
#include <algorithm>
#include <mutex>

#include "base/quantity.hpp"
#include "capture/token_bucket.hpp"

namespace stillpoint::capture {

/// The limits that all readers of one VM share, however many disks it has.
/// @threads any
class Throttle {
public:
    struct Limits {
        std::uint64_t bytes_per_second_max = 0;  // 0: no limit
        ByteCount read_ahead{8u << 20};          // in flight, over all readers together
    };
    Throttle(const env::Clock& clock, const Limits& limits)
        : limits_(limits), bucket_(clock, limits.bytes_per_second_max) {}

    /// @return zero: taken; else how long to wait before asking again (nothing was taken)
    [[nodiscard]] env::Nanoseconds take(std::uint64_t bytes) {
        const std::scoped_lock lock{mutex_};
        return bucket_.take(bytes);
    }
    /// @return how many requests one reader may have in flight now; at least one, so that each gets
    ///         on. It changes when readers come and go.
    [[nodiscard]] unsigned share(std::uint32_t request_bytes) const {
        const std::scoped_lock lock{mutex_};
        const std::uint64_t requests =
            limits_.read_ahead.raw() / divisor_ / std::max(request_bytes, 1u);
        const std::uint64_t each = requests / std::max(readers_, 1u);
        return static_cast<unsigned>(std::clamp<std::uint64_t>(each, 1, 1u << 16));
    }

    /// Reads more gently: of what may be in flight, and of an ample rate, the divisor's share.
    /// @param divisor 1: at full speed
    void slow_down(unsigned divisor) {
        const std::scoped_lock lock{mutex_};
        if (divisor == divisor_) return;
        divisor_ = std::max(divisor, 1u);
        std::uint64_t rate = limits_.bytes_per_second_max;
        if (divisor_ > 1) {
            const std::uint64_t gentle = ample_bytes_per_second / divisor_;
            rate = rate == 0 ? gentle : std::min(rate, gentle);
        }
        bucket_.set_rate(rate);
    }
    // What a divisor is taken of where no rate was set; by 64 that leaves 8 MiB/s.
    static constexpr std::uint64_t ample_bytes_per_second = 512u << 20;

    /// A reader's seat for as long as it reads.
    class Seat {
    public:
        explicit Seat(Throttle* throttle) : throttle_(throttle) { add(1); }
        Seat(const Seat&) = delete;
        Seat& operator=(const Seat&) = delete;
        ~Seat() { add(-1); }

    private:
        void add(int count) const {
            if (throttle_ == nullptr) return;
            const std::scoped_lock lock{throttle_->mutex_};
            throttle_->readers_ += static_cast<unsigned>(count);
        }
        Throttle* throttle_;
    };

private:
    mutable std::mutex mutex_;
    Limits limits_;
    TokenBucket bucket_;
    unsigned readers_ = 0;
    unsigned divisor_ = 1;
};

}  // namespace stillpoint::capture
