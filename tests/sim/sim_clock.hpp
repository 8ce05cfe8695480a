#pragma once
#include <atomic>

#include "env/clock.hpp"

namespace stillpoint::sim {

/// Virtual time: hours pass in no time, and the wall clock may be set back. @threads any
class SimClock final : public env::Clock {
public:
    [[nodiscard]] env::Nanoseconds monotonic() const override { return now_.load(); }
    [[nodiscard]] env::Nanoseconds wall() const override {
        return wall_offset_.load() + now_.load();
    }
    void pass(env::Nanoseconds time) { now_ = now_.load() + time; }
    void set_wall_back(env::Nanoseconds by) { wall_offset_ = wall_offset_.load() - by; }

private:
    std::atomic<env::Nanoseconds> now_{std::chrono::hours{1}};
    std::atomic<env::Nanoseconds> wall_offset_{std::chrono::seconds{1'800'000'000}};
};

}  // namespace stillpoint::sim
