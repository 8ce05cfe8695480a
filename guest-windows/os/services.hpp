#pragma once
#include "base/result.hpp"
#include "service/doctor.hpp"

/// Services and drivers as Windows' service manager knows them.
namespace stillpoint::windows_guest::os {

/// @return missing, too, where it may not be asked
[[nodiscard]] ServiceFact look_at_service(const char* name);

/// @errors denied, io, id "vss.registration"
[[nodiscard]] Status set_service_start(const char* name, ServiceFact::Start start);

/// Has Windows start a service again after it ended without saying so: each time after five
/// seconds.
/// @errors not_found, denied, io, id "windows.call"
[[nodiscard]] Status restart_after_failure(const char* name);

}  // namespace stillpoint::windows_guest::os
