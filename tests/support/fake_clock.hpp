#pragma once
#include "env/clock.hpp"

namespace stillpoint::test {

/// Stands still unless told: hours pass in no time.
/// @threads one
class FakeClock final : public env::Clock {
public:
    [[nodiscard]] env::Nanoseconds monotonic() const override { return now_; }
    [[nodiscard]] env::Nanoseconds wall() const override { return wall_start_ + now_; }
    void advance(env::Nanoseconds step) { now_ += step; }

private:
    env::Nanoseconds now_{};
    env::Nanoseconds wall_start_ = std::chrono::seconds{1'700'000'000};
};

}  // namespace stillpoint::test
