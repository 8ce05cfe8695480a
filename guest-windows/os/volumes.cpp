#include "os/volumes.hpp"

#include <windows.h>

#include <algorithm>
#include <array>

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {
namespace {

using Path = std::array<wchar_t, 1024>;

/// The enumeration of volumes, closed at the end.
class VolumeSearch {
public:
    VolumeSearch() : handle_(::FindFirstVolumeW(path_.data(), size)) {}
    VolumeSearch(const VolumeSearch&) = delete;
    VolumeSearch& operator=(const VolumeSearch&) = delete;
    ~VolumeSearch() {
        if (found()) ::FindVolumeClose(handle_);
    }
    [[nodiscard]] bool found() const { return handle_ != INVALID_HANDLE_VALUE; }
    [[nodiscard]] const Path& path() const { return path_; }
    bool next() { return ::FindNextVolumeW(handle_, path_.data(), size) != 0; }

private:
    static constexpr DWORD size = std::tuple_size_v<Path>;
    Path path_{};
    HANDLE handle_;
};

/// The first of the places where a volume is mounted. @return empty: it has none
std::wstring place_of(const Path& volume) {
    Path names{};
    DWORD length = 0;
    if (!::GetVolumePathNamesForVolumeNameW(volume.data(), names.data(),
                                            static_cast<DWORD>(names.size()), &length)) {
        return {};
    }
    return names.data();
}

std::string why_not(const std::string& type, DWORD flags) {
    if ((flags & FILE_READ_ONLY_VOLUME) != 0) return "read-only";
    if (type != "NTFS" && type != "ReFS") return "VSS cannot hold " + type;
    return {};
}

GuestVolume describe(const Path& path, const std::wstring& place) {
    GuestVolume volume;
    volume.guid = to_utf8(path.data());
    volume.name = to_utf8(place.c_str());
    std::array<wchar_t, MAX_PATH + 1> type{};
    DWORD flags = 0;
    if (!::GetVolumeInformationW(place.c_str(), nullptr, 0, nullptr, nullptr, &flags, type.data(),
                                 static_cast<DWORD>(type.size()))) {
        volume.note = "cannot be read (locked?): " + windows_error(::GetLastError());
        return volume;
    }
    volume.type = to_utf8(type.data());
    volume.note = why_not(volume.type, flags);
    return volume;
}

}  // namespace

std::vector<GuestVolume> list_volumes() {
    std::vector<GuestVolume> all;
    VolumeSearch search;
    for (bool more = search.found(); more; more = search.next()) {
        const std::wstring place = place_of(search.path());
        if (place.empty() || ::GetDriveTypeW(place.c_str()) != DRIVE_FIXED) continue;
        all.push_back(describe(search.path(), place));
    }
    std::ranges::sort(all, {}, &GuestVolume::name);
    return all;
}

Status flush_volume(const GuestVolume& volume) {
    std::wstring path = to_wide(volume.guid);
    while (path.ends_with(L'\\')) path.pop_back();  // the volume itself, not its root folder
    const HANDLE opened =
        ::CreateFileW(path.c_str(), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                      OPEN_EXISTING, 0, nullptr);
    const bool is_open = opened != INVALID_HANDLE_VALUE;
    const bool flushed = is_open && ::FlushFileBuffers(opened) != 0;
    const DWORD error = flushed ? ERROR_SUCCESS : ::GetLastError();
    if (is_open) ::CloseHandle(opened);
    if (flushed) return {};
    const Errc code = error == ERROR_ACCESS_DENIED ? Errc::denied : Errc::io;
    return fail(code, "volume.flush", volume.name + ": " + windows_error(error));
}

std::string windows_release() {
    // What the program is told depends on its manifest; the registry does not.
    constexpr const wchar_t* key = LR"(SOFTWARE\Microsoft\Windows NT\CurrentVersion)";
    const auto read = [&](const wchar_t* value) {
        std::array<wchar_t, 128> text{};
        DWORD bytes = sizeof text - sizeof(wchar_t);
        const LSTATUS got = ::RegGetValueW(HKEY_LOCAL_MACHINE, key, value, RRF_RT_REG_SZ, nullptr,
                                           text.data(), &bytes);
        return got == ERROR_SUCCESS ? to_utf8(text.data()) : std::string{};
    };
    const std::string product = read(L"ProductName");
    const std::string build = read(L"CurrentBuildNumber");
    return (product.empty() ? "Windows" : product) + (build.empty() ? "" : " build " + build);
}

}  // namespace stillpoint::windows_guest::os
