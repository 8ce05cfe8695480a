#include "hooks/trusted_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

namespace stillpoint::linux_guest {
namespace {

using os::UniqueFd;

constexpr const char* id = "hook.untrusted";

// linux/posix_acl_xattr.h: a header of four bytes, then entries of eight, little-endian.
constexpr std::size_t acl_header_bytes = 4;
constexpr std::size_t acl_entry_bytes = 8;
constexpr std::size_t acl_bytes_max = 4096;
constexpr unsigned acl_user = 0x02;
constexpr unsigned acl_group = 0x08;
constexpr unsigned acl_write = 0x02;

unsigned u16_at(const std::array<unsigned char, acl_bytes_max>& bytes, std::size_t at) {
    return bytes[at] | static_cast<unsigned>(bytes[at + 1]) << 8U;
}

/// @return whether an ACL names a user or a group that may write, whatever its mask says now
bool acl_lets_others_write(int fd, const char* name) {
    std::array<unsigned char, acl_bytes_max> acl{};
    const ssize_t got = ::fgetxattr(fd, name, acl.data(), acl.size());
    if (got < 0) return errno != ENODATA && errno != EOPNOTSUPP;
    const auto bytes = static_cast<std::size_t>(got);
    for (std::size_t at = acl_header_bytes; at + acl_entry_bytes <= bytes; at += acl_entry_bytes) {
        const unsigned tag = u16_at(acl, at);
        const bool named = tag == acl_user || tag == acl_group;
        if (named && (u16_at(acl, at + 2) & acl_write) != 0) return true;
    }
    return false;
}

/// Who opened it when its mode still allowed that may write at any time, whatever the mode says
/// now. The kernel lends out a read lease only where nobody has; filesystems without leases cannot
/// tell.
bool open_for_writing(int fd) {
    struct sigaction ignore {};
    struct sigaction before {};
    ignore.sa_handler = SIG_IGN;  // root may open it while the lease is held: no reason to die
    ::sigaction(SIGIO, &ignore, &before);
    const bool refused = ::fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
    if (!refused) ::fcntl(fd, F_SETLEASE, F_UNLCK);
    ::sigaction(SIGIO, &before, nullptr);
    return refused;
}

tl::unexpected<Error> refuse(const std::string& part, const std::string& why, std::string remedy) {
    return fail(Errc::denied, id, part + " " + why, std::move(remedy));
}

Status judge(int fd, const std::string& part, const TrustRules& rules) {
    struct stat facts {};
    if (::fstat(fd, &facts) != 0) return fail(os::os_error("look at " + part, errno));
    if (facts.st_uid != 0 && facts.st_uid != rules.owner) {
        return refuse(part, "does not belong to root", "chown root " + part);
    }
    if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return refuse(part, "is writable by its group or by others", "chmod go-w " + part);
    }
    if (acl_lets_others_write(fd, "system.posix_acl_access")) {
        return refuse(part, "has an ACL that lets others write", "setfacl -b " + part);
    }
    return {};
}

Result<std::vector<std::string>> parts_below(const std::string& path, const std::string& below) {
    std::vector<std::string> parts;
    if (!path.starts_with(below)) {
        return refuse(path, "is not below " + below, {});
    }
    std::string rest = path.substr(below.size());
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('/'), rest.size());
        std::string part = rest.substr(0, end);
        rest.erase(0, std::min(end + 1, rest.size()));
        if (part == "..") return refuse(path, "has .. in it", "write the path in full");
        if (!part.empty() && part != ".") parts.push_back(std::move(part));
    }
    return parts;
}

Result<UniqueFd> open_part(int folder, const std::string& name, const std::string& so_far,
                           int flags) {
    UniqueFd fd{::openat(folder, name.c_str(), flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (fd.valid()) return fd;
    const int error = errno;
    struct stat facts {};
    if (::fstatat(folder, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(facts.st_mode)) {
        return refuse(so_far, "is a symbolic link", "write the real path in place of it");
    }
    return fail(os::os_error("open " + so_far, error));
}

Result<UniqueFd> walk(const std::string& path, const TrustRules& rules, int last_flags) {
    SP_ASSIGN(const std::vector<std::string> parts, parts_below(path, rules.below));
    std::string so_far = rules.below;
    UniqueFd here{::open(so_far.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!here.valid()) return fail(os::os_error("open " + so_far, errno));
    SP_TRY(judge(here.get(), so_far, rules));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        so_far += (so_far.ends_with('/') ? "" : "/") + parts[i];
        const bool last = i + 1 == parts.size();
        SP_ASSIGN(here, open_part(here.get(), parts[i], so_far, last ? last_flags : O_DIRECTORY));
        SP_TRY(judge(here.get(), so_far, rules));
    }
    return here;
}

}  // namespace

TrustRules TrustRules::of_process() {
    return {::geteuid(), "/"};
}

Result<UniqueFd> open_trusted(const std::string& path, const TrustRules& rules) {
    // Not blocking: the open of a FIFO would wait for a writer.
    SP_ASSIGN(UniqueFd file, walk(path, rules, O_NONBLOCK));
    struct stat facts {};
    if (::fstat(file.get(), &facts) != 0) return fail(os::os_error("look at " + path, errno));
    if (!S_ISREG(facts.st_mode)) return refuse(path, "is no regular file", {});
    if (open_for_writing(file.get())) {
        return refuse(path, "is open for writing", "see who has it open: fuser -v " + path);
    }
    return file;
}

Result<UniqueFd> open_trusted_folder(const std::string& path, const TrustRules& rules) {
    return walk(path, rules, O_DIRECTORY);
}

Result<std::string> read_trusted(const std::string& path, std::size_t bytes_max,
                                 const TrustRules& rules) {
    SP_ASSIGN(const UniqueFd file, open_trusted(path, rules));
    auto text = os::read_file("/proc/self/fd/" + std::to_string(file.get()), bytes_max);
    if (text || text.error().code != Errc::no_space) return text;
    return fail(Errc::no_space, "os.too_long",
                path + " is longer than " + std::to_string(bytes_max) + " bytes");
}

}  // namespace stillpoint::linux_guest
