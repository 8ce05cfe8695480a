#include "env/storage.hpp"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace stillpoint::env {
namespace {

constexpr std::uint64_t stat_block_bytes = 512;  // unit of st_blocks, whatever the filesystem's own

// This thread's identity for file access, put back by the destructor. setfsuid reports no failure;
// a caller without the right to change keeps its own identity, which is then QEMU's as well.
class FileIdentity {
public:
    explicit FileIdentity(const Owner& owner)
        : user_(static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1)))),
          group_(static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1)))) {
        ::setfsgid(owner.group);
        ::setfsuid(owner.user);
    }
    FileIdentity(const FileIdentity&) = delete;
    FileIdentity& operator=(const FileIdentity&) = delete;
    ~FileIdentity() {
        ::setfsuid(user_);
        ::setfsgid(group_);
    }

private:
    uid_t user_;
    gid_t group_;
};

tl::unexpected<Error> unreachable(const Path& folder, const Owner& owner, const char* what) {
    const std::string user = std::to_string(owner.user) + ":" + std::to_string(owner.group);
    return fail(Errc::denied, "folder.unreachable",
                "QEMU runs as user " + user + " and may not " + what + " " + folder.string(),
                "let that user in (chmod o+x, or setfacl), or choose another scratch folder");
}

}  // namespace

Result<ByteCount> free_space(const Path& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return fail(os_error("read free space of " + path.string(), errno));
    }
    return ByteCount{std::uint64_t{info.f_bavail} * info.f_frsize};
}

Result<ByteCount> allocated_size(const Path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return fail(os_error("stat " + path.string(), errno));
    return ByteCount{static_cast<std::uint64_t>(info.st_blocks) * stat_block_bytes};
}

Status give_to(const Path& path, const Owner& owner) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return fail(os_error("stat " + path.string(), errno));
    if (info.st_uid == owner.user && info.st_gid == owner.group) return {};
    if (::lchown(path.c_str(), owner.user, owner.group) != 0) {
        return fail(
            os_error("give " + path.string() + " to user " + std::to_string(owner.user), errno));
    }
    return {};
}

Status check_reachable(const Path& folder, const Owner& owner) {
    const FileIdentity identity{owner};
    Path reached;
    for (const Path& part : std::filesystem::absolute(folder)) {
        reached /= part;
        const UniqueFd fd{::open((reached / ".").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
        if (fd.valid()) continue;
        if (errno == EACCES) return unreachable(reached, owner, "enter");
        return fail(os_error("enter " + reached.string(), errno));
    }
    const Path probe = folder / ".reachable";
    const UniqueFd fd{::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!fd.valid() && errno == EACCES) return unreachable(folder, owner, "write to");
    if (!fd.valid()) return fail(os_error("write to " + folder.string(), errno));
    ::unlink(probe.c_str());
    return {};
}

}  // namespace stillpoint::env
