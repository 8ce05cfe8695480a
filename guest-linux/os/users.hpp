#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.hpp"

namespace stillpoint::os {

struct User {
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;  // all of them, gid included
};

/// Where the accounts stand. Read by hand: a static binary cannot use the system's name services,
/// so accounts of a directory server are not found.
struct AccountFiles {
    std::string passwd = "/etc/passwd";
    std::string group = "/etc/group";
};

/// @errors not_found, id "user.unknown" · of reading the files. "root" needs no file.
[[nodiscard]] Result<User> find_user(const std::string& name, const AccountFiles& files = {});

}  // namespace stillpoint::os
