#pragma once
#include <string>

#include "base/result.hpp"

namespace stillpoint::windows_guest::os {

/// %ProgramData%\Stillpoint, as the registry has it: variables can be set by whoever starts us.
[[nodiscard]] std::string data_folder();
/// "C:\Windows"
[[nodiscard]] std::string windows_folder();

/// Makes the data folder and hooks.d in it, for administrators and the system alone: what lies
/// there is executed by the service. A folder that is there already keeps its owner, and its
/// permissions are put right; one of another owner is refused, whoever made it may still have it
/// open.
/// @errors denied, io, not_found, id "windows.call" or "hook.untrusted"
[[nodiscard]] Status make_data_folder(const std::string& folder);

}  // namespace stillpoint::windows_guest::os
