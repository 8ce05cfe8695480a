#pragma once
#include "base/result.hpp"

namespace stillpoint::windows_guest::os {

/// Once per process, before anything of COM is used: writers that run as NetworkService or
/// LocalService call back into this process, which COM's default refuses (event 8194).
/// Callers are LocalSystem, LocalService, NetworkService, Administrators and Backup Operators.
/// @errors denied, id "vss.com_security"
/// @source Microsoft, "Security Considerations for Requesters"
[[nodiscard]] Status initialize_com_security();

}  // namespace stillpoint::windows_guest::os
