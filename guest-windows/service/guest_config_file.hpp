#pragma once
#include "os/path_trust.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::windows_guest {

/// Reads guest.xml. Absent it is the default; one that others may write is refused, because it
/// names what the service executes.
/// @errors as parse_guest_config; denied, id "config.untrusted", with the command that puts it
/// right; io
[[nodiscard]] Result<GuestConfig> load_guest_config(const std::string& file,
                                                    const os::TrustRules& trust);

}  // namespace stillpoint::windows_guest
