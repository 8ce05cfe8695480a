#include "os/cgroup.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <vector>

namespace stillpoint::os {
namespace {

constexpr std::size_t mountinfo_bytes_max = 16u << 20;
constexpr std::size_t procs_bytes_max = 4u << 20;
constexpr int open_attempts = 8;  // each is lost to somebody who drops a group at that moment
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

// linux/mount.h; the C library of the build may be older than the kernel it runs on.
constexpr unsigned fsopen_cloexec = 1;
constexpr unsigned fsconfig_create = 6;
constexpr unsigned fsmount_cloexec = 1;

/// A view of the one cgroup2 tree that is mounted nowhere.
UniqueFd detached_cgroup2() {
#if defined(SYS_fsopen) && defined(SYS_fsconfig) && defined(SYS_fsmount)
    const UniqueFd context{static_cast<int>(::syscall(SYS_fsopen, "cgroup2", fsopen_cloexec))};
    if (!context.valid()) return {};
    if (::syscall(SYS_fsconfig, context.get(), fsconfig_create, nullptr, nullptr, 0) != 0) {
        return {};
    }
    return UniqueFd{static_cast<int>(::syscall(SYS_fsmount, context.get(), fsmount_cloexec, 0))};
#else
    return {};
#endif
}

struct Mounted {
    std::string path;
    CgroupRoot::Version version;
};

/// Of mountinfo(5): mount point, then after " - " type, source and super options. Mount points of
/// cgroups have no blanks in practice; one that has is not found.
std::vector<Mounted> mounted_cgroups(const std::string& mountinfo) {
    std::vector<Mounted> found;
    std::istringstream lines{mountinfo};
    for (std::string line; std::getline(lines, line);) {
        const std::size_t split = line.find(" - ");
        if (split == std::string::npos) continue;
        std::istringstream front{line.substr(0, split)};
        std::istringstream back{line.substr(split + 3)};
        std::string skipped, path, type, source, options;
        front >> skipped >> skipped >> skipped >> skipped >> path;
        back >> type >> source >> options;
        if (type == "cgroup2") found.push_back({path, CgroupRoot::Version::v2});
        // These accept any process at once; a new cpuset, for one, does not.
        const bool plain = options.find("name=systemd") != std::string::npos ||
                           options.find("pids") != std::string::npos ||
                           options.find("freezer") != std::string::npos;
        if (type == "cgroup" && plain) found.push_back({path, CgroupRoot::Version::v1});
    }
    return found;
}

UniqueFd make_group(int parent, const std::string& name) {
    if (::mkdirat(parent, name.c_str(), S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH) != 0 &&
        errno != EEXIST) {
        return {};
    }
    return UniqueFd{::openat(parent, name.c_str(), folder_flags)};
}

std::string read_at(int folder, const char* name) {
    const UniqueFd file{::openat(folder, name, O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) return {};
    return read_file("/proc/self/fd/" + std::to_string(file.get()), procs_bytes_max).value_or("");
}

/// Tries it with a child, which needs no way back.
bool can_enter(const Cgroup& group) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(group.join() == 0 ? 0 : 1);
    int status = -1;
    while (pid > 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

CgroupRoot CgroupRoot::find(const std::string& name, const CgroupPlaces& places) {
    CgroupRoot root;
    root.name_ = name;
    const auto mounted =
        mounted_cgroups(read_file(places.mountinfo, mountinfo_bytes_max).value_or(""));
    const auto use_mounted = [&](Version version) {
        return std::ranges::any_of(mounted, [&](const Mounted& entry) {
            return entry.version == version &&
                   root.use(UniqueFd{::open(entry.path.c_str(), folder_flags)}, version);
        });
    };
    if (use_mounted(Version::v2)) return root;
    const bool tried = places.unmounted == CgroupPlaces::Unmounted::tried;
    if (tried && root.use(detached_cgroup2(), Version::v2)) return root;
    use_mounted(Version::v1);
    return root;
}

/// @return whether a process of ours can enter a group there
bool CgroupRoot::use(UniqueFd parent, Version version) {
    if (!parent.valid()) return false;
    parent_ = std::move(parent);
    version_ = version;
    const std::string attempt = "attempt." + std::to_string(::getpid());
    const auto group = Cgroup::open(*this, attempt);
    const bool entered = group && can_enter(*group);
    drop(attempt);
    if (entered) return true;
    parent_.reset();
    version_ = Version::none;
    return false;
}

Result<UniqueFd> CgroupRoot::open(const std::string& name) const {
    for (int attempt = 0; attempt < open_attempts; ++attempt) {
        const UniqueFd all = make_group(parent_.get(), name_);
        UniqueFd group = all.valid() ? make_group(all.get(), name) : UniqueFd{};
        if (group.valid()) return group;
        // Somebody has dropped the last of the others between two of these steps.
        if (errno != ENOENT && errno != ENODEV) break;
    }
    return fail(os_error("make the control group " + name, errno));
}

void CgroupRoot::drop(const std::string& name) const noexcept {
    if (!parent_.valid()) return;
    const UniqueFd all{::openat(parent_.get(), name_.c_str(), folder_flags)};
    if (!all.valid()) return;
    ::unlinkat(all.get(), name.c_str(), AT_REMOVEDIR);
    ::unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR);
}

Result<Cgroup> Cgroup::open(const CgroupRoot& root, const std::string& name) {
    Cgroup group;
    group.version_ = root.version();
    SP_ASSIGN(group.folder_, root.open(name));
    group.procs_ = UniqueFd{::openat(group.folder_.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC)};
    if (!group.procs_.valid()) return fail(os_error("open the control group " + name, errno));
    return group;
}

int Cgroup::join() const noexcept {
    return ::write(procs_.get(), "0", 1) == 1 ? 0 : errno;
}

bool Cgroup::empty() const {
    if (version_ != CgroupRoot::Version::v2) return read_at(folder_.get(), "cgroup.procs").empty();
    return read_at(folder_.get(), "cgroup.events").find("populated 1") == std::string::npos;
}

void Cgroup::kill() const {
    const UniqueFd all{::openat(folder_.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC)};
    if (all.valid() && ::write(all.get(), "1", 1) == 1) return;
    std::istringstream pids{read_at(folder_.get(), "cgroup.procs")};
    for (pid_t pid = 0; pids >> pid;) {
        if (pid > 1) ::kill(pid, SIGKILL);
    }
}

}  // namespace stillpoint::os
