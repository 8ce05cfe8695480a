#include "channel/host_line.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "os/waiter.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;

constexpr Nanoseconds look_for_host_every = std::chrono::milliseconds{200};
constexpr Nanoseconds look_for_port_every = std::chrono::seconds{2};
constexpr Nanoseconds partial_max = std::chrono::milliseconds{500};
// Well below the watchdog's patience: a host that reads nothing must not look like our death.
constexpr Nanoseconds write_max = std::chrono::seconds{1};
constexpr std::size_t read_bytes_max = 16u << 10;

Result<os::UniqueFd> connect_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(Errc::invalid, "channel.path", path + " is too long for a socket");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    os::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const void* const raw = &address;
    if (::connect(socket.get(), static_cast<const sockaddr*>(raw), sizeof address) != 0) {
        return fail(os::os_error("connect to " + path, errno));
    }
    return socket;
}

}  // namespace

int HostLine::poll_fd() {
    if (boottime() < pause_until_) return -1;
    if (port_.valid()) return port_.get();
    const Status opened = open();
    problem_ = opened ? "" : opened.error().text;
    if (!opened) pause_until_ = boottime() + (socket_ ? look_for_host_every : look_for_port_every);
    return port_.get();
}

Status HostLine::open() {
    SP_ASSIGN(const std::string path, find_());
    struct stat node {};
    socket_ = ::stat(path.c_str(), &node) == 0 && S_ISSOCK(node.st_mode);
    if (socket_) {
        SP_ASSIGN(port_, connect_socket(path));
        return {};
    }
    port_ = os::UniqueFd{::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
    if (!port_.valid()) return fail(os::os_error("open " + path, errno));
    return {};
}

Nanoseconds HostLine::wake_at() const {
    Nanoseconds at = boottime() + std::chrono::hours{1};
    if (boottime() < pause_until_) at = std::min(at, pause_until_);
    if (partial_since_ != Nanoseconds::zero()) at = std::min(at, partial_since_ + partial_max);
    return at;
}

HostLine::Served HostLine::serve(short revents) {
    Got got = Got::nothing;
    if (revents != 0) got = read_some();
    note_partial();
    if (got == Got::hang_up) return hang_up();
    return Served::nothing;
}

HostLine::Got HostLine::read_some() {
    std::array<std::byte, read_bytes_max> piece;
    const std::size_t wanted = std::min(piece.size(), reader_.room());
    const ssize_t got = ::read(port_.get(), piece.data(), wanted);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Got::nothing;
    if (got <= 0) return Got::hang_up;
    heard_ = true;
    reader_.feed(ByteView{piece}.first(static_cast<std::size_t>(got)));
    return Got::bytes;
}

HostLine::Served HostLine::hang_up() {
    pause_until_ = boottime() + look_for_host_every;
    if (socket_) port_.reset();
    reader_.give_up_partial();
    return std::exchange(heard_, false) ? Served::lost : Served::nothing;
}

/// A sender writes a frame in one go: a beginning that stays one was left behind by an earlier host
/// and would swallow what follows.
void HostLine::note_partial() {
    if (!reader_.waiting()) {
        partial_since_ = Nanoseconds::zero();
    } else if (partial_since_ == Nanoseconds::zero() || partial_at_ != reader_.position()) {
        partial_since_ = boottime();
        partial_at_ = reader_.position();
    } else if (boottime() - partial_since_ >= partial_max) {
        reader_.give_up_partial();
        partial_since_ = Nanoseconds::zero();
    }
}

Status HostLine::send(const serialization::Frame& frame) {
    const Bytes bytes = serialization::encode_frame(frame);
    ByteView left{bytes};
    const Nanoseconds until = boottime() + write_max;
    os::PlainWaiter waiter;
    int error = 0;
    while (!left.empty() && error == 0) {
        const ssize_t put = ::write(port_.get(), left.data(), left.size());
        if (put > 0) left = left.subspan(static_cast<std::size_t>(put));
        if (put >= 0 || errno == EINTR) continue;
        if (errno != EAGAIN) {
            error = errno;
            break;
        }
        pollfd ready{port_.get(), POLLOUT, 0};
        if (waiter.wait({&ready, 1}, until) == os::WaitEnd::timeout) error = ETIMEDOUT;
        if ((ready.revents & (POLLHUP | POLLERR)) != 0) error = EPIPE;
    }
    if (error == 0) return {};
    if (socket_) port_.reset();
    return fail(error == ETIMEDOUT ? Errc::timeout : Errc::io, "channel.write",
                os::os_error("write to the host", error).text);
}

}  // namespace stillpoint::linux_guest
