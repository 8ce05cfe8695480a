#include "env/byte_lock.hpp"

#include <fcntl.h>

#include <cerrno>

namespace stillpoint::env {
namespace {

struct flock one_byte(short kind, std::uint64_t byte) {
    struct flock lock {};
    lock.l_type = kind;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(byte);
    lock.l_len = 1;
    return lock;
}

}  // namespace

Result<bool> byte_locked(const Path& file, std::uint64_t byte) {
    SP_ASSIGN(const UniqueFd fd, open_file(file, O_RDONLY | O_NONBLOCK));
    // What an exclusive lock would meet: any lock at all.
    struct flock lock = one_byte(F_WRLCK, byte);
    if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) {
        return fail(os_error("look for locks on " + file.string(), errno));
    }
    return lock.l_type != F_UNLCK;
}

Result<SharedByteLocks> SharedByteLocks::take(const Path& file,
                                              const std::vector<std::uint64_t>& bytes) {
    SP_ASSIGN(UniqueFd fd, open_file(file, O_RDONLY | O_NONBLOCK));
    for (const std::uint64_t byte : bytes) {
        struct flock lock = one_byte(F_RDLCK, byte);
        if (::fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) continue;
        if (errno == EAGAIN || errno == EACCES) {
            return fail(Errc::busy, "lock.held", file.string() + " is locked by somebody else");
        }
        return fail(os_error("lock " + file.string(), errno));
    }
    return SharedByteLocks{std::move(fd)};
}

}  // namespace stillpoint::env
