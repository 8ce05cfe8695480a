#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "service/doctor.hpp"

namespace stillpoint::windows_guest {

/// What the extension changes in Windows beside its service, and takes back:
///   HKLM\SOFTWARE\Classes\CLSID and AppID\{provider's class}: COM starts our service for it
///   VSS's list of providers
///   the start type of the service VSS: automatic; the old one is remembered in
///   HKLM\SOFTWARE\Stillpoint\Guest, VssStartType. A disabled VSS stays disabled and is reported.
/// Safe to run again: what is there already is put right.
/// @threads one, in the multithreaded apartment
/// @errors denied, io, id "vss.registration"; unsupported, id "vss.unavailable" or "vss.disabled"
[[nodiscard]] Status register_provider();

/// As above; goes on after a failure and reports the first.
[[nodiscard]] Status unregister_provider();

/// What the doctor needs to know about it. May start the service VSS.
[[nodiscard]] ProviderFact look_at_provider();

/// What is changed in this Windows now, a line each, with what takes it back. Reads the registry
/// and asks the service manager: VSS is not started for it.
[[nodiscard]] std::vector<std::string> list_changes();

}  // namespace stillpoint::windows_guest
