#pragma once
#include <windows.h>
// after windows.h
#include <vsbackup.h>
#include <vss.h>

#include "vss/vss_session.hpp"

namespace stillpoint::windows_guest {

/// Makes the object of one backup. VSS's library is loaded when it is needed, from the system's
/// folder and from nowhere else: a file of its name beside a service's program would run as
/// LocalSystem, and where VSS is broken the extension must start all the same.
/// @errors library_missing, not_implemented, or what VSS says
[[nodiscard]] VssResult<IVssBackupComponents*> create_backup_components();

}  // namespace stillpoint::windows_guest
