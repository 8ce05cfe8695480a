#pragma once
#include <sys/types.h>

#include "base/quantity.hpp"
#include "env/files.hpp"

namespace stillpoint::env {

/// Another process's user, for files that it must reach.
struct Owner {
    uid_t user = 0;
    gid_t group = 0;
};

/// @return bytes an unprivileged process may still write to the filesystem of `path`
[[nodiscard]] Result<ByteCount> free_space(const Path& path);

/// @return bytes that a file occupies on its filesystem (holes take none)
[[nodiscard]] Result<ByteCount> allocated_size(const Path& path);

/// Changes owner and group. Nothing to do when they are right already, so that a process without
/// that right works for its own user.
[[nodiscard]] Status give_to(const Path& path, const Owner& owner);

/// Proves that `owner` could create files in `folder`, by the kernel's own judgement (modes and
/// ACLs; not AppArmor or SELinux).
/// @errors denied, id "folder.unreachable": names the first folder on the way that is closed
/// @threads the calling thread takes the other identity for file access during the call
[[nodiscard]] Status check_reachable(const Path& folder, const Owner& owner);

}  // namespace stillpoint::env
