#include "os/machine_facts.hpp"

#include <windows.h>

#include <array>
#include <cstddef>

#include "os/com.hpp"
#include "os/services.hpp"
#include "os/volumes.hpp"
#include "provider/registration.hpp"

namespace stillpoint::windows_guest::os {
namespace {

std::int64_t realtime_ns() {
    constexpr std::int64_t ticks_until_1970 = 116'444'736'000'000'000;
    FILETIME now{};
    ::GetSystemTimeAsFileTime(&now);
    const auto ticks = static_cast<std::int64_t>(std::uint64_t{now.dwHighDateTime} << 32 |
                                                 std::uint64_t{now.dwLowDateTime});
    return (ticks - ticks_until_1970) * 100;
}

bool is_administrator() {
    std::array<std::byte, SECURITY_MAX_SID_SIZE> room{};
    DWORD bytes = static_cast<DWORD>(room.size());
    BOOL member = FALSE;
    return ::CreateWellKnownSid(WinBuiltinAdministratorsSid, nullptr, room.data(), &bytes) &&
           ::CheckTokenMembership(nullptr, room.data(), &member) && member;
}

/// Opening is the only question that the driver answers. Where the service has the port this fails
/// and disturbs nothing.
PortState look_at_port(const std::string& path) {
    if (path.empty()) return PortState::in_use;
    const HANDLE opened =
        ::CreateFileW(to_wide(path).c_str(), 0, 0, nullptr, OPEN_EXISTING, 0, nullptr);
    if (opened != INVALID_HANDLE_VALUE) {
        ::CloseHandle(opened);
        return PortState::unused;
    }
    switch (::GetLastError()) {
        case ERROR_FILE_NOT_FOUND:
        case ERROR_PATH_NOT_FOUND:
            return PortState::missing;
        case ERROR_SHARING_VIOLATION:
        case ERROR_BUSY:
            return PortState::in_use;
        case ERROR_ACCESS_DENIED:  // who is no administrator cannot tell
            return is_administrator() ? PortState::in_use : PortState::denied;
        default:
            return PortState::denied;
    }
}

bool key_exists(const wchar_t* key) {
    HKEY opened = nullptr;
    if (::RegOpenKeyExW(HKEY_LOCAL_MACHINE, key, 0, KEY_READ, &opened) != ERROR_SUCCESS) {
        return false;
    }
    ::RegCloseKey(opened);
    return true;
}

/// Files that wait to be renamed are not among them: installers leave such without any harm.
/// @source Microsoft, "Determine if a server needs a restart" (component servicing and update)
std::vector<std::string> restart_reasons() {
    std::vector<std::string> reasons;
    if (key_exists(LR"(SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing)"
                   LR"(\RebootPending)")) {
        reasons.emplace_back("components of Windows were changed");
    }
    if (key_exists(LR"(SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update)"
                   LR"(\RebootRequired)")) {
        reasons.emplace_back("updates were installed");
    }
    return reasons;
}

std::uint64_t free_bytes(const GuestVolume& volume) {
    ULARGE_INTEGER bytes{};
    if (!volume.note.empty() ||
        !::GetDiskFreeSpaceExW(to_wide(volume.name).c_str(), nullptr, nullptr, &bytes)) {
        return 0;
    }
    return bytes.QuadPart;
}

}  // namespace

MachineFacts look_at_machine(const std::string& port) {
    MachineFacts facts;
    facts.realtime_ns = realtime_ns();
    facts.administrator = is_administrator();
    for (const char* name : examined_services) facts.services.push_back(look_at_service(name));
    facts.port = look_at_port(port);
    facts.provider = look_at_provider();
    std::vector<GuestVolume> volumes = list_volumes();
    for (GuestVolume& volume : volumes) {
        const std::uint64_t free = free_bytes(volume);
        facts.volumes.push_back({std::move(volume), free});
    }
    facts.restart_reasons = restart_reasons();
    return facts;
}

}  // namespace stillpoint::windows_guest::os
