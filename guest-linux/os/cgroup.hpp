#pragma once
#include <functional>
#include <string>

#include "os/fd.hpp"

namespace stillpoint::os {

/// Where control groups are looked for.
struct CgroupPlaces {
    std::string mountinfo = "/proc/self/mountinfo";
    enum class Unmounted { tried, ignored };
    Unmounted unmounted = Unmounted::tried;  // a cgroup2 that is mounted nowhere (Linux 5.2)
};

/// Where control groups of ours can be made: all below one that is there only while it holds any.
/// @threads one at a time; other processes may make and drop groups below the same one meanwhile
class CgroupRoot {
public:
    enum class Version { none, v1, v2 };
    /// Looks, in this order, for a mounted cgroup2; for one that can be had without mounting it
    /// anywhere; for a version 1 hierarchy. Tries it: what a process cannot enter counts not.
    /// @param name  of the group that holds all others of ours
    static CgroupRoot find(const std::string& name, const CgroupPlaces& places = {});
    [[nodiscard]] Version version() const { return version_; }
    /// Makes a group where it is missing, and the one that holds all. @errors of that
    [[nodiscard]] Result<UniqueFd> open(const std::string& name) const;
    /// Removes a group, then the one that holds all: the kernel keeps what is not empty. A missing
    /// one is nobody's error.
    void drop(const std::string& name) const noexcept;

private:
    bool use(UniqueFd parent, Version version);
    UniqueFd parent_;
    std::string name_;
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

}  // namespace stillpoint::os
