#pragma once
#include <atomic>

#include "hooks/hook_engine.hpp"
#include "os/event.hpp"

namespace stillpoint::windows_guest {

/// A wish to end what is under way; it stands until it is taken back.
/// @threads any
class Cancellation {
public:
    void ask() noexcept {
        asked_ = true;
        wake_.set();
    }
    void take_back() noexcept {
        asked_ = false;
        wake_.reset();
    }
    [[nodiscard]] bool asked() const noexcept { return asked_; }
    /// Set when it is asked; who waits for it asks `asked`.
    os::Event& wake() noexcept { return wake_; }

private:
    std::atomic<bool> asked_{false};
    os::Event wake_;
};

/// Executes commands of hooks: the system, or a fake.
class HookExecutor : public hooks::HookSystem {
public:
    virtual hooks::HookResult execute(const hooks::HookOrder& order, Cancellation& cancelled) = 0;
};

/// The engine's hands: an executor, and what ends it early.
class CancellableHands final : public hooks::HookHands {
public:
    CancellableHands(HookExecutor& executor, Cancellation& cancelled)
        : executor_(executor), cancelled_(cancelled) {}
    hooks::HookResult execute(const hooks::HookOrder& order) override {
        return executor_.execute(order, cancelled_);
    }
    hooks::Paused pause(os::nanoseconds until) override {
        while (!cancelled_.asked() && os::now() < until) cancelled_.wake().wait_until(until);
        return cancelled_.asked() ? hooks::Paused::cancelled : hooks::Paused::to_the_end;
    }

private:
    HookExecutor& executor_;
    Cancellation& cancelled_;
};

}  // namespace stillpoint::windows_guest
