#include <condition_variable>
#include <mutex>
#include <utility>

#include "os/event.hpp"

/// For the tests that run where the code is built.
namespace stillpoint::windows_guest::os {

struct Event::State {
    std::mutex lock;
    std::condition_variable changed;
    bool set = false;
};

Event::Event() : state_(std::make_unique<State>()) {}
Event::~Event() = default;

void Event::set() noexcept {
    const std::scoped_lock guard{state_->lock};
    state_->set = true;
    state_->changed.notify_all();
}

bool Event::wait_until(nanoseconds until) noexcept {
    std::unique_lock guard{state_->lock};
    const std::chrono::steady_clock::time_point at{until - std::chrono::seconds{10}};
    state_->changed.wait_until(guard, at, [this] { return state_->set; });
    return std::exchange(state_->set, false);
}

void* Event::handle() const noexcept {
    return nullptr;
}

}  // namespace stillpoint::windows_guest::os
