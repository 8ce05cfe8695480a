#include "os/volumes.hpp"

#include <windows.h>
// after windows.h
#include <winioctl.h>

#include <algorithm>
#include <array>

#include "os/com.hpp"
#include "os/handle.hpp"

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

/// The volume itself, not its root folder.
Handle open_volume(const std::string& guid, DWORD rights) {
    std::wstring path = to_wide(guid);
    while (path.ends_with(L'\\')) path.pop_back();
    return Handle{::CreateFileW(path.c_str(), rights, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                                OPEN_EXISTING, 0, nullptr)};
}

/// How the volume's disk reached this system: one that the guest attached by itself is none of the
/// VM's, so the host has nothing of it. @return empty: by the VM, or not known
std::string own_disk(const std::string& guid) {
    const Handle volume = open_volume(guid, 0);
    STORAGE_PROPERTY_QUERY query{};
    query.PropertyId = StorageDeviceProperty;
    query.QueryType = PropertyStandardQuery;
    STORAGE_DEVICE_DESCRIPTOR disk{};
    DWORD bytes = 0;
    if (!volume.valid() || !::DeviceIoControl(volume.get(), IOCTL_STORAGE_QUERY_PROPERTY, &query,
                                              sizeof query, &disk, sizeof disk, &bytes, nullptr)) {
        return {};
    }
    constexpr int iscsi = 9;  // STORAGE_BUS_TYPE
    constexpr int file_backed = 15;
    const int bus = static_cast<int>(disk.BusType);
    if (bus == iscsi) return "an iSCSI disk of the guest's own, which the host does not back up";
    if (bus == file_backed) return "a disk image in the guest: held with the volume it lies on";
    return {};
}

std::string why_not(const std::string& type, DWORD flags) {
    if ((flags & FILE_READ_ONLY_VOLUME) != 0) return "read-only";
    if (type != "NTFS" && type != "ReFS") return "VSS cannot hold " + type;
    return {};
}

/// @param root the place where it is mounted, or its GUID path
GuestVolume describe(const Path& path, const std::wstring& root) {
    GuestVolume volume;
    volume.guid = to_utf8(path.data());
    volume.name = to_utf8(root.c_str());
    std::array<wchar_t, MAX_PATH + 1> type{};
    DWORD flags = 0;
    if (!::GetVolumeInformationW(root.c_str(), nullptr, 0, nullptr, nullptr, &flags, type.data(),
                                 static_cast<DWORD>(type.size()))) {
        volume.note = "cannot be read (locked?): " + windows_error(::GetLastError());
        return volume;
    }
    volume.type = to_utf8(type.data());
    volume.note = why_not(volume.type, flags);
    if (volume.note.empty()) volume.note = own_disk(volume.guid);
    return volume;
}

}  // namespace

std::vector<GuestVolume> list_volumes() {
    std::vector<GuestVolume> all;
    VolumeSearch search;
    for (bool more = search.found(); more; more = search.next()) {
        const std::wstring place = place_of(search.path());
        const std::wstring root = place.empty() ? search.path().data() : place;
        if (::GetDriveTypeW(root.c_str()) != DRIVE_FIXED) continue;
        GuestVolume volume = describe(search.path(), root);
        // Without a place nobody writes to it but Windows: what boots it or repairs it.
        if (!place.empty() || volume.note.empty()) all.push_back(std::move(volume));
    }
    std::ranges::sort(all, {}, &GuestVolume::name);
    return all;
}

Status flush_volume(const GuestVolume& volume) {
    const Handle opened = open_volume(volume.guid, GENERIC_WRITE);
    if (opened.valid() && ::FlushFileBuffers(opened.get())) return {};
    const DWORD error = ::GetLastError();
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
