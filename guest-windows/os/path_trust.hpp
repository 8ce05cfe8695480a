#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

/// Who may have written what the service reads or executes. Pure: the facts come from
/// trusted_path.hpp.
namespace stillpoint::windows_guest::os {

/// One entry of an access control list that allows something. What is denied is not counted: it may
/// be meant for others.
struct AccessEntry {
    std::string sid;  // "S-1-5-32-545"
    std::string who;  // "BUILTIN\Users", for people; may be empty
    std::uint32_t mask = 0;
    bool only_inherited = false;  // it is for what is made below, not for this
};

struct PathFacts {
    std::string path;
    std::string owner;  // sid
    std::vector<AccessEntry> entries;
    bool open_to_all = false;  // it has no list
    bool link = false;         // a symbolic link, a junction or another reparse point
};

/// What a part of a path must withstand.
enum class PathRole {
    above,  // a folder further up: nobody else may replace what is in it. Making things is harmless
    folder,  // the folder that holds the file: a library put beside a program would be loaded
    file,
};

/// The system, administrators and the installer of Windows; the process's own user beside them.
struct TrustRules {
    std::string own_user;  // sid; empty: nobody
};

/// @errors denied, id "hook.untrusted": which part, who may write it, and the command that ends
/// that
[[nodiscard]] Status judge_path(const PathFacts& facts, PathRole role, const TrustRules& rules);

/// Every part of a path from its drive on: "C:\", "C:\a", "C:\a\b.exe".
/// @errors denied, id "hook.untrusted": not on a drive of this machine, "..", a stream, or a name
/// that Windows would read as another
[[nodiscard]] Result<std::vector<std::string>> parts_of_path(const std::string& path);

}  // namespace stillpoint::windows_guest::os
