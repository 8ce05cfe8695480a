#pragma once
#include <sys/types.h>

#include <string>

#include "env/clock.hpp"
#include "env/files.hpp"

namespace stillpoint::env {

/// The process behind a unix socket.
struct Peer {
    pid_t pid = 0;  // 0: not visible from our pid namespace
    uid_t uid = 0;
    gid_t gid = 0;
    std::string user;  // name, or the number as text
};

/// Who listens at the other end of a connected socket. The effective user of the living process
/// counts, because a server may bind as root and drop its privileges afterwards.
/// @source unix(7) SO_PEERCRED: credentials at the time of listen(2)
[[nodiscard]] Result<Peer> peer_of(int socket_fd);

/// Makes `path` the peer's own; nothing is done when it is already.
/// @errors denied: we are neither root nor that user
[[nodiscard]] Status give_to(const Path& path, const Peer& peer);

/// The first ancestor folder (or the path itself) that the peer may not enter by its mode bits;
/// empty: none. ACLs, supplementary groups and security modules are not looked at.
[[nodiscard]] Path first_closed_folder(const Path& folder, const Peer& peer);

/// Bytes that an ordinary user may still write into the file system of `path`.
[[nodiscard]] Result<ByteCount> free_space(const Path& path);
/// Bytes a file occupies on its disk; a missing file occupies none.
[[nodiscard]] ByteCount occupied(const Path& path);
/// Writes the host's cached bytes of a file to its disk, whoever wrote them. A path that is no
/// regular file of ours is left alone: this only makes a later flush short.
void flush_cached_writes(const Path& path);

}  // namespace stillpoint::env
