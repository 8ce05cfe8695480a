#pragma once
#include "base/result.hpp"
#include "freeze/mountinfo.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {

/// Opens the root folder of a mount that other mounts cover: a short-lived child makes a mount
/// namespace of its own, takes the covers away there (here they stay) and hands the folder over.
/// @errors not_found, id "freeze.open": not possible, or not within three seconds
[[nodiscard]] Result<os::UniqueFd> open_hidden(const Mount& mount);

/// Opens a path that leads through the folders of another process, in a child: what that process
/// can mount there (FUSE) could hold up who opens it.
/// @errors not_found, id "freeze.open": not possible, or not within three seconds
[[nodiscard]] Result<os::UniqueFd> open_elsewhere(const std::string& path, int flags);

}  // namespace stillpoint::linux_guest
