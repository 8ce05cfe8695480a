#include "os/com.hpp"

#include <windows.h>

#include <array>

namespace stillpoint::windows_guest::os {

std::string to_utf8(const wchar_t* text, int length) {
    if (text == nullptr) return {};
    const int bytes = ::WideCharToMultiByte(CP_UTF8, 0, text, length, nullptr, 0, nullptr, nullptr);
    std::string out(static_cast<std::size_t>(bytes > 0 ? bytes : 0), '\0');
    ::WideCharToMultiByte(CP_UTF8, 0, text, length, out.data(), bytes, nullptr, nullptr);
    if (length < 0 && !out.empty()) out.pop_back();  // the end mark was counted
    return out;
}

std::wstring to_wide(const std::string& text) {
    const int size = static_cast<int>(text.size());
    const int units = ::MultiByteToWideChar(CP_UTF8, 0, text.data(), size, nullptr, 0);
    std::wstring out(static_cast<std::size_t>(units > 0 ? units : 0), L'\0');
    ::MultiByteToWideChar(CP_UTF8, 0, text.data(), size, out.data(), units);
    return out;
}

std::string guid_text(const GUID& id) {
    std::array<wchar_t, 40> wide{};
    ::StringFromGUID2(id, wide.data(), static_cast<int>(wide.size()));
    std::string text = to_utf8(wide.data());
    for (char& c : text) {
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    }
    return text;
}

std::string windows_error(unsigned long code) {
    std::array<wchar_t, 512> text{};
    const DWORD length =
        ::FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr, code,
                         0, text.data(), static_cast<DWORD>(text.size()), nullptr);
    std::string out = to_utf8(text.data(), static_cast<int>(length));
    while (!out.empty() && (out.back() == '\n' || out.back() == '\r')) out.pop_back();
    return out + " (" + std::to_string(code) + ")";
}

}  // namespace stillpoint::windows_guest::os
