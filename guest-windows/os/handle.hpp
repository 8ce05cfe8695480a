#pragma once
#include <windows.h>

#include <string>
#include <utility>

#include "base/result.hpp"

namespace stillpoint::windows_guest::os {

/// Owns a handle of the kernel.
class Handle {
public:
    Handle() = default;
    explicit Handle(HANDLE handle) : handle_(handle == INVALID_HANDLE_VALUE ? nullptr : handle) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Handle() { reset(); }
    void reset() noexcept {
        if (handle_ != nullptr) ::CloseHandle(std::exchange(handle_, nullptr));
    }
    [[nodiscard]] bool valid() const noexcept { return handle_ != nullptr; }
    [[nodiscard]] HANDLE get() const noexcept { return handle_; }

private:
    HANDLE handle_ = nullptr;
};

/// A call of Windows that failed. @errors not_found, denied, no_space, io by its code; the id is
/// "windows.call"
[[nodiscard]] tl::unexpected<Error> call_failed(const std::string& doing, DWORD error);
[[nodiscard]] inline tl::unexpected<Error> call_failed(const std::string& doing) {
    return call_failed(doing, ::GetLastError());
}

}  // namespace stillpoint::windows_guest::os
