#include "monitor_proxy.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "env/unix_socket.hpp"
#include "guest_vm.hpp"

namespace stillpoint::test {
namespace {

using Buffer = std::array<std::byte, 64 * 1024>;

// @return bytes moved; empty at the stream's end
ByteView take(int fd, Buffer& buffer) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

int lines_in(ByteView bytes) {
    return static_cast<int>(std::count(bytes.begin(), bytes.end(), std::byte{'\n'}));
}

// Commands that come in one piece are cut apart: a client may die between any two.
ByteView first_lines(ByteView bytes, int lines_max) {
    std::size_t end = 0;
    for (int lines = 0; end < bytes.size() && lines < lines_max; ++end) {
        if (bytes[end] == std::byte{'\n'}) ++lines;
    }
    return bytes.first(end);
}

}  // namespace

MonitorProxy::MonitorProxy(env::Path listen_at, env::Path monitor)
    : listen_at_(std::move(listen_at)),
      monitor_(std::move(monitor)),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = listen_at_;
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
}

MonitorProxy::~MonitorProxy() {
    ::unlink(listen_at_.c_str());
}

void MonitorProxy::serve(pid_t client, int commands_max) {
    const env::UniqueFd below{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    auto above = need(env::UnixSocket::connect(monitor_, soon()));
    int commands = 0;
    Buffer buffer;
    while (true) {
        std::array<pollfd, 2> polls{pollfd{below.get(), POLLIN, 0}, pollfd{above.fd(), POLLIN, 0}};
        REQUIRE(::poll(polls.data(), polls.size(), 10'000) > 0);
        if (polls[0].revents != 0) {
            const ByteView bytes = take(below.get(), buffer);
            if (bytes.empty()) return;
            const ByteView handed_over = first_lines(bytes, commands_max - commands);
            need(above.write_all(handed_over, soon(), {}));
            commands += lines_in(handed_over);
            if (commands >= commands_max) {
                ::kill(client, SIGKILL);
                return;
            }
        }
        if (polls[1].revents != 0) {
            const ByteView bytes = take(above.fd(), buffer);
            if (::write(below.get(), bytes.data(), bytes.size()) <= 0) return;
        }
    }
}

}  // namespace stillpoint::test
