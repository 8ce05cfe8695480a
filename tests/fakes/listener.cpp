#include "fakes/listener.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.hpp"

namespace stillpoint::fakes {
namespace {

constexpr env::Nanoseconds forever = std::chrono::hours{24};
constexpr std::size_t read_bytes_max = 64u << 10;

}  // namespace

Peer::Event Peer::wait_for(short events, const env::Deadline& deadline) {
    std::array polls{pollfd{fd_.get(), events, 0}, pollfd{stop_->poll_fd(), POLLIN, 0}};
    const auto ready = env::wait_any(polls, deadline);
    SP_CHECK(ready.has_value());
    if (!*ready) return Event::deadline;
    return polls[1].revents != 0 ? Event::stopped : Event::bytes;
}

Peer::Event Peer::read(Bytes& into, const env::Deadline& deadline) {
    const Event event = wait_for(POLLIN, deadline);
    if (event != Event::bytes) return event;
    into.resize(read_bytes_max);
    const ssize_t got = ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT);
    into.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return got > 0 ? Event::bytes : Event::closed;
}

bool Peer::write(ByteView bytes) {
    const env::SystemClock clock;
    while (!bytes.empty()) {
        const ssize_t sent =
            ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        } else if (errno != EAGAIN || wait_for(POLLOUT, {clock, forever}) != Event::bytes) {
            return false;
        }
    }
    return true;
}

Listener::Listener(const env::Path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    SP_CHECK(path.string().size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.string().size());
    fd_ = env::UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    SP_CHECK(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    SP_CHECK(::listen(fd_.get(), 8) == 0);
}

std::optional<Peer> Listener::accept(const env::Doorbell& stop) {
    const env::SystemClock clock;
    while (true) {
        std::array polls{pollfd{fd_.get(), POLLIN, 0}, pollfd{stop.poll_fd(), POLLIN, 0}};
        const auto ready = env::wait_any(polls, {clock, forever});
        SP_CHECK(ready.has_value());
        if (polls[1].revents != 0) return std::nullopt;
        env::UniqueFd peer{::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        if (peer.valid()) return Peer{std::move(peer), stop};
    }
}

}  // namespace stillpoint::fakes
