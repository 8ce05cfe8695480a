#include "provider/hold_gate.hpp"

#include <algorithm>

namespace stillpoint::windows_guest {

void HoldGate::arm() noexcept {
    released_.reset();
    closed_ = false;
    holding_ = false;
    end_ = End::none;
    first_freeze_ = frozen_ = thawed_ = 0;
    for (auto& part : set_) part = std::byte{0};
    limit_ = hold_limit.count();
    armed_ = true;
}

void HoldGate::limit(os::nanoseconds limit) noexcept {
    limit_ = std::min(limit, hold_limit).count();
}

void HoldGate::disarm() noexcept {
    armed_ = false;
    release();
}

bool HoldGate::begin(const SetId& set) noexcept {
    if (!armed_) return false;
    // Another set means that VSS has forgotten the one before.
    for (std::size_t i = 0; i < set.size(); ++i) set_[i] = set[i];
    return true;
}

bool HoldGate::is_ours(const SetId& set) const noexcept {
    return std::equal(set.begin(), set.end(), set_.begin());
}

void HoldGate::freezing(const SetId& set) noexcept {
    if (armed_ && is_ours(set)) first_freeze_ = os::now().count();
}

bool HoldGate::hold(const SetId& set) noexcept {
    if (!armed_ || closed_ || !is_ours(set) || end_ != End::none || holding_) return false;
    const os::nanoseconds start = os::now();
    if (first_freeze_ == 0) first_freeze_ = start.count();
    frozen_ = start.count();
    holding_ = true;
    wake_.set();
    const bool asked = released_.wait_until(start + at(limit_));
    thawed_ = os::now().count();
    end_ = asked ? End::released : End::expired;
    holding_ = false;
    wake_.set();
    return asked;
}

void HoldGate::release() noexcept {
    closed_ = true;
    released_.set();
}

}  // namespace stillpoint::windows_guest
