#pragma once
#include "base/result.hpp"
#include "freeze/mountinfo.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {

/// Opens the root folder of a mount that other mounts cover: a short-lived child makes a mount
/// namespace of its own, takes the covers away there (here they stay) and hands the folder over.
/// @errors not_found, id "freeze.open": not possible, or not within three seconds
[[nodiscard]] Result<os::UniqueFd> open_hidden(const Mount& mount);

/// Opens a folder, or a regular file where that is all that is mounted there (a bind mount of one
/// file): either will do for a freeze. Devices and pipes are not opened.
/// @errors those of opening it · invalid, id "os.enotdir": neither
[[nodiscard]] Result<os::UniqueFd> open_for_freeze(const std::string& path);

/// The same for a path that leads through another process, in a child: what that process can mount
/// there (FUSE) could hold up who opens it.
/// @errors not_found, id "freeze.open": not possible, or not within three seconds
[[nodiscard]] Result<os::UniqueFd> open_elsewhere(const std::string& path);

}  // namespace stillpoint::linux_guest
