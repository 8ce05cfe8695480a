#pragma once
#include "hooks/hook_engine.hpp"
#include "os/waiter.hpp"

namespace stillpoint::linux_guest {

using namespace hooks;  // shared/hooks: what both guests have in common

/// Executes commands of hooks: the system, or a fake.
class HookExecutor : public HookSystem {
public:
    virtual HookResult execute(const HookOrder& order, os::Waiter& waiter) = 0;
};

/// An executor, and who is served while it is waited for.
class WaitingHands final : public HookHands {
public:
    WaitingHands(HookExecutor& executor, os::Waiter& waiter)
        : executor_(executor), waiter_(waiter) {}
    HookResult execute(const HookOrder& order) override {
        return executor_.execute(order, waiter_);
    }
    Paused pause(Nanoseconds until) override {
        const bool cancelled = waiter_.wait({}, until) == os::WaitEnd::cancelled;
        return cancelled ? Paused::cancelled : Paused::to_the_end;
    }

private:
    HookExecutor& executor_;
    os::Waiter& waiter_;
};

}  // namespace stillpoint::linux_guest
