#include "os/fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

namespace stillpoint::os {
namespace {

struct Known {
    int number;
    Errc code;
    const char* id;
};

constexpr Known known_errors[] = {
    {ENOENT, Errc::not_found, "os.enoent"},
    {ENODEV, Errc::not_found, "os.enodev"},
    {ENXIO, Errc::not_found, "os.enxio"},
    {EACCES, Errc::denied, "os.eacces"},
    {EPERM, Errc::denied, "os.eperm"},
    {EROFS, Errc::denied, "os.erofs"},
    {EBUSY, Errc::busy, "os.ebusy"},
    {EAGAIN, Errc::busy, "os.eagain"},
    {EINVAL, Errc::invalid, "os.einval"},
    {ENOTDIR, Errc::invalid, "os.enotdir"},
    {ENOMEM, Errc::no_space, "os.enomem"},
    {ENOSPC, Errc::no_space, "os.enospc"},
    {EIO, Errc::io, "os.eio"},
};

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

void UniqueFd::reset() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<FdPair> make_pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail(os_error("create a pipe", errno));
    return FdPair{UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

Result<FdPair> make_packet_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return fail(os_error("create a pair of sockets", errno));
    }
    return FdPair{UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

Error os_error(const std::string& doing, int error_number) {
    const std::string text = doing + ": " + std::strerror(error_number);
    for (const Known& known : known_errors) {
        if (known.number == error_number) return {known.code, known.id, text, {}};
    }
    return {Errc::io, "os.error", text, {}};
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) return fail(os_error("open " + path, errno));
    std::string text;
    std::array<char, 16384> piece{};
    for (;;) {
        const ssize_t got = ::read(file.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(os_error("read " + path, errno));
        if (got == 0) return text;
        if (text.size() + static_cast<std::size_t>(got) > bytes_max) {
            return fail(Errc::no_space, "os.too_long",
                        path + " is longer than " + std::to_string(bytes_max) + " bytes");
        }
        text.append(piece.data(), static_cast<std::size_t>(got));
    }
}

Result<std::string> read_link(const std::string& path) {
    std::array<char, PATH_MAX> target{};
    const ssize_t got = ::readlink(path.c_str(), target.data(), target.size());
    if (got < 0) return fail(os_error("read link " + path, errno));
    return std::string(target.data(), static_cast<std::size_t>(got));
}

}  // namespace stillpoint::os
