#include "env/peer.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <sstream>

namespace stillpoint::env {
namespace {

constexpr std::size_t status_bytes_max = 64u << 10;  // /proc/PID/status is about 1.5 KiB

std::string user_name(uid_t uid) {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? found->pw_name : std::to_string(uid);
}

// "Uid: real effective saved filesystem" of /proc/PID/status: the last one opens files.
template <class Id>
void read_id(const std::string& status, const std::string& label, Id& id) {
    const auto at = status.find("\n" + label + ":");
    if (at == std::string::npos) return;
    std::istringstream line{status.substr(at + label.size() + 2)};
    Id real{}, effective{}, saved{}, filesystem{};
    if (line >> real >> effective >> saved >> filesystem) id = filesystem;
}

bool may_enter(const Path& folder, const Peer& peer) {
    struct stat info {};
    if (::stat(folder.c_str(), &info) != 0) return true;  // the later step names the real cause
    if (info.st_uid == peer.uid) return (info.st_mode & S_IXUSR) != 0;
    if (info.st_gid == peer.gid) return (info.st_mode & S_IXGRP) != 0;
    return (info.st_mode & S_IXOTH) != 0;
}

}  // namespace

Result<Peer> peer_of(int socket_fd) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
        return fail(os_error("ask for the peer of a socket", errno));
    }
    Peer peer{credentials.pid, credentials.uid, credentials.gid, {}};
    if (peer.pid > 0) {
        const auto status =
            read_file("/proc/" + std::to_string(peer.pid) + "/status", status_bytes_max);
        if (status) {
            const std::string text{as_text(*status)};
            read_id(text, "Uid", peer.uid);
            read_id(text, "Gid", peer.gid);
        }
    }
    peer.user = user_name(peer.uid);
    return peer;
}

Status give_to(const Path& path, const Peer& peer) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return fail(os_error("look at " + path.string(), errno));
    if (info.st_uid == peer.uid) return {};
    if (::chown(path.c_str(), peer.uid, peer.gid) != 0) {
        return fail(os_error("give " + path.string() + " to user " + peer.user, errno));
    }
    return {};
}

Path first_closed_folder(const Path& folder, const Peer& peer) {
    if (peer.uid == 0) return {};
    Path walked;
    for (const Path& part : folder) {
        walked /= part;
        if (!may_enter(walked, peer)) return walked;
    }
    return {};
}

Result<ByteCount> free_space(const Path& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return fail(os_error("ask for the free space of " + path.string(), errno));
    }
    return ByteCount{std::uint64_t{info.f_bavail} * info.f_frsize};
}

ByteCount occupied(const Path& path) {
    constexpr std::uint64_t stat_block_bytes = 512;
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return {};
    return ByteCount{static_cast<std::uint64_t>(info.st_blocks) * stat_block_bytes};
}

void flush_cached_writes(const Path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    const auto fd = open_file(path, O_RDONLY);
    if (fd) ::fdatasync(fd->get());
}

}  // namespace stillpoint::env
