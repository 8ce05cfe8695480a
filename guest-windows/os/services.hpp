#pragma once
#include "base/result.hpp"
#include "service/doctor.hpp"

/// Services and drivers as Windows' service manager knows them.
namespace stillpoint::windows_guest::os {

/// @return missing, too, where it may not be asked
[[nodiscard]] ServiceFact look_at_service(const char* name);

/// @errors denied, io, id "vss.registration"
[[nodiscard]] Status set_service_start(const char* name, ServiceFact::Start start);

}  // namespace stillpoint::windows_guest::os
