#pragma once
#include <objbase.h>
#include <oleauto.h>

#include <string>
#include <utility>

/// Owners of what COM hands out.
namespace stillpoint::windows_guest::os {

/// One reference to a COM object.
template <class T>
class ComPtr {
public:
    ComPtr() = default;
    ComPtr(const ComPtr&) = delete;
    ComPtr& operator=(const ComPtr&) = delete;
    ComPtr(ComPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    ComPtr& operator=(ComPtr&& other) noexcept {
        if (this != &other) {
            reset();
            object_ = std::exchange(other.object_, nullptr);
        }
        return *this;
    }
    ~ComPtr() { reset(); }
    void reset() noexcept {
        if (object_ != nullptr) std::exchange(object_, nullptr)->Release();
    }
    /// Where a call writes its result; what was held is released.
    T** out() noexcept {
        reset();
        return &object_;
    }
    T* operator->() const noexcept { return object_; }
    [[nodiscard]] T* get() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

private:
    T* object_ = nullptr;
};

[[nodiscard]] std::string to_utf8(const wchar_t* text, int length = -1);
[[nodiscard]] std::wstring to_wide(const std::string& text);
/// "{…}" in lower case.
[[nodiscard]] std::string guid_text(const GUID& id);
[[nodiscard]] inline bool same_guid(const GUID& a, const GUID& b) {
    return ::InlineIsEqualGUID(a, b) != 0;
}
/// "The system cannot find the file specified. (2)"
[[nodiscard]] std::string windows_error(unsigned long code);

/// A string that COM allocated.
class Bstr {
public:
    Bstr() = default;
    Bstr(const Bstr&) = delete;
    Bstr& operator=(const Bstr&) = delete;
    ~Bstr() { ::SysFreeString(text_); }
    BSTR* out() noexcept {
        ::SysFreeString(std::exchange(text_, nullptr));
        return &text_;
    }
    [[nodiscard]] std::string text() const {
        return text_ == nullptr ? std::string{} : to_utf8(text_);
    }

private:
    BSTR text_ = nullptr;
};

/// The multithreaded apartment, as long as the object lives, on its thread.
class Apartment {
public:
    Apartment() : entered_(SUCCEEDED(::CoInitializeEx(nullptr, COINIT_MULTITHREADED))) {}
    Apartment(const Apartment&) = delete;
    Apartment& operator=(const Apartment&) = delete;
    ~Apartment() {
        if (entered_) ::CoUninitialize();
    }

private:
    bool entered_;
};

}  // namespace stillpoint::windows_guest::os
