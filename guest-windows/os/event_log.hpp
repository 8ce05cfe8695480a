#pragma once
#include "base/result.hpp"
#include "service/guest_log.hpp"

namespace stillpoint::windows_guest::os {

/// Windows' event log "Application", source stillpoint-guest. Its texts are in our program
/// (messages.mc); register_event_source tells Windows so.
/// @threads any
class EventLog {
public:
    EventLog();
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;
    ~EventLog();
    /// Best effort: who logs cannot do anything about a log that is full.
    void write(Severity severity, const std::string& text) const;

private:
    void* source_;
};

/// @errors denied, io, id "event_log.registration"
[[nodiscard]] Status register_event_source();
void unregister_event_source();
[[nodiscard]] bool event_source_exists();

}  // namespace stillpoint::windows_guest::os
