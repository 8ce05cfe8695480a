#include "freeze/open_hidden.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "os/process.hpp"
#include "os/waiter.hpp"

namespace stillpoint::linux_guest {
namespace {

constexpr os::Nanoseconds open_max = std::chrono::seconds{3};
constexpr int covers_max = 64;

bool same_mount(const Mount& a, const Mount& b) {
    return a.device == b.device && a.root == b.root && a.point == b.point && a.type == b.type;
}

/// In the child. @return whether the mount is what its path leads to now
bool uncover(const Mount& wanted) {
    const auto text = os::read_file("/proc/self/mountinfo", mountinfo_bytes_max);
    const auto mounts = text ? MountTable::parse(*text) : fail(text.error());
    if (!mounts) return false;
    const auto walked = mounts->walk(wanted.point);
    return !walked.empty() && same_mount(*walked.back(), wanted);
}

/// In the child: detaches what the path leads to. @return false: nothing is left to detach
bool take_cover_away(const Mount& wanted) {
    const auto text = os::read_file("/proc/self/mountinfo", mountinfo_bytes_max);
    const auto mounts = text ? MountTable::parse(*text) : fail(text.error());
    if (!mounts) return false;
    const auto walked = mounts->walk(wanted.point);
    if (walked.size() < 2) return false;
    return ::umount2(walked.back()->point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

int send_fd(int socket_fd, int fd) {
    char byte = 'F';
    iovec data{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return ::sendmsg(socket_fd, &message, MSG_NOSIGNAL) == 1 ? 0 : 1;
}

os::UniqueFd receive_fd(int socket_fd) {
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1) return {};
    const cmsghdr* const head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_type != SCM_RIGHTS) return {};
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return os::UniqueFd{fd};
}

int serve_hidden(const Mount& wanted, int socket_fd) {
    if (::unshare(CLONE_NEWNS) != 0) return 1;
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 1;
    for (int covers = 0; covers < covers_max; ++covers) {
        if (uncover(wanted)) {
            const auto found = open_for_freeze(wanted.point);
            return found ? send_fd(socket_fd, found->get()) : 1;
        }
        if (!take_cover_away(wanted)) return 1;
    }
    return 1;
}

/// Runs `serve` in a child, which sends a descriptor back or ends.
Result<os::UniqueFd> open_in_child(const std::string& problem,
                                   const std::function<int(int socket_fd)>& serve) {
    SP_ASSIGN(os::FdPair line, os::make_packet_pair());
    const std::array keep{line.second.get()};
    SP_ASSIGN(const os::Child child,
              os::fork_child("sp-opener", keep, [&] { return serve(keep[0]); }));
    line.second.reset();
    os::PlainWaiter waiter;
    pollfd ready{line.first.get(), POLLIN, 0};
    os::UniqueFd found;
    if (waiter.wait({&ready, 1}, os::boottime() + open_max) == os::WaitEnd::ready) {
        found = receive_fd(line.first.get());
    }
    if (found.valid()) return found;
    return fail(Errc::not_found, "freeze.open", problem);
}

}  // namespace

Result<os::UniqueFd> open_hidden(const Mount& mount) {
    return open_in_child("the mounts over it cannot be looked under",
                         [&](int socket_fd) { return serve_hidden(mount, socket_fd); });
}

Result<os::UniqueFd> open_for_freeze(const std::string& path) {
    os::UniqueFd found{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (found.valid()) return found;
    const int error = errno;
    const os::UniqueFd file{error == ENOTDIR ? ::open(path.c_str(), O_PATH | O_CLOEXEC) : -1};
    struct stat kind {};
    if (file.valid() && ::fstat(file.get(), &kind) == 0 && S_ISREG(kind.st_mode)) {
        const std::string same = "/proc/self/fd/" + std::to_string(file.get());
        found = os::UniqueFd{::open(same.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    }
    if (found.valid()) return found;
    return fail(os::os_error("open " + path, error));
}

Result<os::UniqueFd> open_elsewhere(const std::string& path) {
    return open_in_child(path + " cannot be opened", [&](int socket_fd) {
        const auto found = open_for_freeze(path);
        return found ? send_fd(socket_fd, found->get()) : 1;
    });
}

}  // namespace stillpoint::linux_guest
