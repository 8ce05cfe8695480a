#pragma once
#include <vector>

#include "freeze/plan.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {

/// A target with everything that must be open before the window: afterwards no path is used again.
struct OpenTarget {
    Target target;
    os::UniqueFd folder;                   // its root folder, read-only
    std::vector<os::UniqueFd> stat_files;  // write counters of its devices; may be empty
};

/// Opens the first candidate that still leads to the planned filesystem (something may have been
/// mounted over it since) and the counters of its devices.
/// @errors not_found, id "freeze.open": no candidate does, with the last reason
[[nodiscard]] Result<OpenTarget> open_target(const Target& target);

}  // namespace stillpoint::linux_guest
