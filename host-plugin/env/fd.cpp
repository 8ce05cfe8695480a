#include "env/fd.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace stillpoint::env {
namespace {

struct Known {
    int number;
    Errc code;
    const char* id;
    const char* remedy;
};

constexpr Known known_errors[] = {
    {ENOSPC, Errc::no_space, "os.enospc", "free space there or choose another place"},
    {EDQUOT, Errc::no_space, "os.edquot", "raise the quota or choose another place"},
    {EFBIG, Errc::no_space, "os.efbig", "choose a filesystem that takes larger files"},
    {ENOENT, Errc::not_found, "os.enoent", "check the path"},
    {EACCES, Errc::denied, "os.eacces", "check owner and mode of the path"},
    {EPERM, Errc::denied, "os.eperm", "run as a user who may do that"},
    {EROFS, Errc::denied, "os.erofs", "remount it read-write or choose another place"},
    {EBUSY, Errc::busy, "os.ebusy", "try again later"},
    {EEXIST, Errc::busy, "os.eexist", "remove it or choose another name"},
    {ENOTDIR, Errc::not_found, "os.enotdir", "check the path: a part of it is no folder"},
    {EAGAIN, Errc::busy, "os.eagain", "try again later"},
    {ECONNREFUSED, Errc::io, "os.econnrefused", "check that the other side runs"},
    {EIO, Errc::io, "os.eio", "check the storage and the kernel's log"},
};

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

UniqueFd::~UniqueFd() {
    reset();
}

void UniqueFd::reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Error os_error(const std::string& doing, int error_number) {
    const std::string text = doing + ": " + std::strerror(error_number);
    for (const Known& known : known_errors) {
        if (known.number == error_number) return {known.code, known.id, text, known.remedy};
    }
    return {Errc::io, "os.error", text, {}};
}

}  // namespace stillpoint::env
