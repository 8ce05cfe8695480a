#include <windows.h>

#include <algorithm>

#include "base/check.hpp"
#include "os/event.hpp"

namespace stillpoint::windows_guest::os {

struct Event::State {
    HANDLE handle = nullptr;
};

Event::Event() : state_(std::make_unique<State>()) {
    state_->handle = ::CreateEventW(nullptr, FALSE, FALSE, nullptr);
    SP_CHECK(state_->handle != nullptr);
}

Event::~Event() {
    ::CloseHandle(state_->handle);
}

void Event::set() noexcept {
    ::SetEvent(state_->handle);
}

bool Event::wait_until(nanoseconds until) noexcept {
    using std::chrono::milliseconds;
    for (;;) {
        const nanoseconds left = until - now();
        // Rounded up, and at most a day at once: the wait's own clock ticks coarsely.
        const auto left_ms = std::clamp<milliseconds::rep>(
            std::chrono::ceil<milliseconds>(left).count(), 0, 86'400'000);
        const DWORD ended = ::WaitForSingleObject(state_->handle, static_cast<DWORD>(left_ms));
        if (ended == WAIT_OBJECT_0) return true;
        if (now() >= until) return false;
    }
}

void* Event::handle() const noexcept {
    return state_->handle;
}

}  // namespace stillpoint::windows_guest::os
