#pragma once
#include <functional>
#include <string>

#include "os/fd.hpp"

namespace stillpoint::os {

/// Where control groups of ours can be made.
class CgroupRoot {
public:
    enum class Version { none, v1, v2 };
    /// Looks, in this order, for a mounted cgroup2; for one that can be had without mounting it
    /// anywhere (Linux 5.2); for a version 1 hierarchy. Tries it: what cannot be written counts
    /// not.
    /// @param name  of the group that holds all others of ours
    static CgroupRoot find(const std::string& name);
    [[nodiscard]] Version version() const { return version_; }
    [[nodiscard]] int fd() const { return folder_.get(); }
    /// Removes the group that holds all others, if it is empty.
    void remove() const noexcept;

private:
    UniqueFd parent_;
    std::string name_;
    UniqueFd folder_;
    Version version_ = Version::none;
};

/// One control group: processes enter it and are killed together.
class Cgroup {
public:
    /// Opens it, and makes it where it is missing. @errors of that
    static Result<Cgroup> open(const CgroupRoot& root, const std::string& name);
    /// Moves the calling process into it. Async-signal-safe. @return errno
    [[nodiscard]] int join() const noexcept;
    [[nodiscard]] bool empty() const;
    /// SIGKILL to every process in it; one that is forking may escape a single round where the
    /// kernel has no cgroup.kill (5.14).
    void kill() const;

private:
    UniqueFd folder_;
    UniqueFd procs_;
    CgroupRoot::Version version_ = CgroupRoot::Version::none;
};

/// Removes an empty one; a missing one is nobody's error.
void remove_cgroup(const CgroupRoot& root, const std::string& name);

}  // namespace stillpoint::os
