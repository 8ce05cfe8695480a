#include "env/unix_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "env/poll.hpp"

namespace stillpoint::env {
namespace {

Error ended(const std::string& name) {
    return {Errc::io, "socket.closed", name + ": the other side closed it", {}};
}

Error stream_error(const char* doing, const std::string& name, int error_number) {
    if (error_number == EPIPE || error_number == ECONNRESET) return ended(name);
    return os_error(doing + name, error_number);
}

}  // namespace

Result<UnixSocket> UnixSocket::connect(const Path& path, const Deadline& deadline,
                                       const CancelToken& cancel) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path) {
        return fail(Errc::invalid, "socket.path_too_long",
                    "socket path " + text + " is longer than " +
                        std::to_string(sizeof address.sun_path - 1) + " bytes",
                    "use a shorter folder name");
    }
    std::memcpy(address.sun_path, text.data(), text.size());
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd.valid()) return fail(os_error("create socket", errno));
    // A unix socket with a full backlog answers EAGAIN at once; poll shows no event for it.
    while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return fail(os_error("connect to " + text, errno));
        if (deadline.passed()) {
            return fail(Errc::timeout, "socket.timeout", text + ": nobody accepted the connection");
        }
        SP_TRY(pause(std::chrono::milliseconds{10}, cancel));
    }
    return UnixSocket{std::move(fd), text};
}

Result<UnixSocket> UnixSocket::adopt(UniqueFd fd, std::string name) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
        return fail(os_error("use " + name, errno));
    }
    return UnixSocket{std::move(fd), std::move(name)};
}

Result<SocketPair> make_socket_pair() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return fail(os_error("create a pair of sockets", errno));
    }
    return SocketPair{UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

bool UnixSocket::closed() const {
    std::byte next{};
    const ssize_t n = ::recv(fd_.get(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

Status UnixSocket::wait_for(short events, const Deadline& deadline, const CancelToken& cancel) {
    std::array polls{pollfd{fd_.get(), events, 0}, pollfd{cancel.poll_fd(), POLLIN, 0}};
    SP_ASSIGN(const bool ready, wait_any(polls, deadline));
    SP_TRY(cancel.check());
    if (ready) return {};
    return fail(Errc::timeout, "socket.timeout", name_ + ": no answer in time");
}

Result<std::size_t> UnixSocket::read_some(std::span<std::byte> into, const Deadline& deadline,
                                          const CancelToken& cancel) {
    while (true) {
        const ssize_t n = ::recv(fd_.get(), into.data(), into.size(), 0);
        if (n > 0) return static_cast<std::size_t>(n);
        if (n == 0) return fail(ended(name_));
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return fail(stream_error("read from ", name_, errno));
        SP_TRY(wait_for(POLLIN, deadline, cancel));
    }
}

Status UnixSocket::write_all(ByteView bytes, const Deadline& deadline, const CancelToken& cancel) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return fail(stream_error("write to ", name_, errno));
        SP_TRY(wait_for(POLLOUT, deadline, cancel));
    }
    return {};
}

}  // namespace stillpoint::env
