#include "os/event_log.hpp"

#include <windows.h>

#include <array>

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {
namespace {

constexpr const wchar_t* source_name = L"stillpoint-guest";
constexpr const wchar_t* source_key =
    LR"(SYSTEM\CurrentControlSet\Services\EventLog\Application\stillpoint-guest)";

struct Kind {
    WORD type;
    DWORD event;  // as messages.mc makes it: severity in the upper bits, then the number
};

Kind kind_of(Severity severity) {
    switch (severity) {
        case Severity::info:
            return {EVENTLOG_INFORMATION_TYPE, 0x40000001};
        case Severity::warning:
            return {EVENTLOG_WARNING_TYPE, 0x80000002};
        case Severity::error:
            break;
    }
    return {EVENTLOG_ERROR_TYPE, 0xc0000003};
}

}  // namespace

EventLog::EventLog() : source_(::RegisterEventSourceW(nullptr, source_name)) {}

EventLog::~EventLog() {
    if (source_ != nullptr) ::DeregisterEventSource(source_);
}

void EventLog::write(Severity severity, const std::string& text) const {
    if (source_ == nullptr) return;
    const Kind kind = kind_of(severity);
    const std::wstring wide = to_wide(text);
    const wchar_t* line = wide.c_str();
    ::ReportEventW(source_, kind.type, 0, kind.event, nullptr, 1, 0, &line, nullptr);
}

Status register_event_source() {
    std::array<wchar_t, 1024> program{};
    const DWORD length =
        ::GetModuleFileNameW(nullptr, program.data(), static_cast<DWORD>(program.size()));
    const DWORD types = EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE;
    LSTATUS done =
        ::RegSetKeyValueW(HKEY_LOCAL_MACHINE, source_key, L"EventMessageFile", REG_SZ,
                          program.data(), static_cast<DWORD>((length + 1) * sizeof(wchar_t)));
    if (done == ERROR_SUCCESS) {
        done = ::RegSetKeyValueW(HKEY_LOCAL_MACHINE, source_key, L"TypesSupported", REG_DWORD,
                                 &types, sizeof types);
    }
    if (done == ERROR_SUCCESS) return {};
    const Errc code = done == ERROR_ACCESS_DENIED ? Errc::denied : Errc::io;
    return fail(code, "event_log.registration",
                "the source of the event log: " + windows_error(static_cast<DWORD>(done)),
                "run it as an administrator");
}

bool event_source_exists() {
    return ::RegGetValueW(HKEY_LOCAL_MACHINE, source_key, L"EventMessageFile", RRF_RT_REG_SZ,
                          nullptr, nullptr, nullptr) == ERROR_SUCCESS;
}

void unregister_event_source() {
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, source_key);
}

}  // namespace stillpoint::windows_guest::os
