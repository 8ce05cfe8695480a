#pragma once
#include <sys/types.h>

#include <string>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {

/// Who may have written what root executes.
struct TrustRules {
    uid_t owner = 0;          // besides root
    std::string below = "/";  // folders above this one are not judged

    /// The rules of this process: root's files, and its own where it is not root.
    [[nodiscard]] static TrustRules of_process();
};

/// Opens a regular file for reading if nobody but its owner could have put it there: the file and
/// every folder above it belong to root, and neither mode nor POSIX ACL lets anybody else write;
/// no part of the path is a symbolic link, and nobody has the file open for writing, which may date
/// from before its mode was put right (not seen on filesystems without leases). Each folder is
/// opened from the one above it, so that what was judged is what is opened.
/// @errors denied, id "hook.untrusted": which part, and why · not_found · io
[[nodiscard]] Result<os::UniqueFd> open_trusted(const std::string& path, const TrustRules& rules);

/// The same for a folder.
[[nodiscard]] Result<os::UniqueFd> open_trusted_folder(const std::string& path,
                                                       const TrustRules& rules);

/// Reads a file that open_trusted opens. @errors as open_trusted and os::read_file
[[nodiscard]] Result<std::string> read_trusted(const std::string& path, std::size_t bytes_max,
                                               const TrustRules& rules);

}  // namespace stillpoint::linux_guest
