#include "env/unix_socket.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

using namespace stillpoint;
using namespace stillpoint::env;
using namespace std::chrono_literals;

namespace {

const SystemClock real_clock;

struct Listener {
    TemporaryFolder folder =
        TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-sock-").value();
    Path path = folder.path() / "s";
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    explicit Listener(int backlog) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path.c_str());
        REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(fd.get(), backlog) == 0);
    }
    [[nodiscard]] UniqueFd accept() const { return UniqueFd{::accept(fd.get(), nullptr, nullptr)}; }
};

Deadline in(Nanoseconds budget) {
    return {real_clock, budget};
}

}  // namespace

TEST_CASE("env/socket: bytes go both ways; the end of the other side is an error") {
    const Listener listener{4};
    UnixSocket socket = UnixSocket::connect(listener.path, in(10s)).value();
    UniqueFd peer = listener.accept();
    REQUIRE(socket.write_all(as_bytes("hello"), in(10s), {}));
    std::array<std::byte, 16> bytes{};
    CHECK(::recv(peer.get(), bytes.data(), bytes.size(), 0) == 5);
    CHECK(::send(peer.get(), "abc", 3, 0) == 3);
    CHECK(socket.read_some(bytes, in(10s), {}).value() == 3);
    peer.reset();
    CHECK(socket.read_some(bytes, in(10s), {}).error().id == "socket.closed");
    CHECK(socket.write_all(as_bytes("x"), in(10s), {}).error().id == "socket.closed");
}

TEST_CASE("env/socket: a silent peer costs no more than the deadline; cancel ends a wait at once") {
    const Listener listener{4};
    UnixSocket socket = UnixSocket::connect(listener.path, in(10s)).value();
    std::array<std::byte, 16> bytes{};
    CHECK(socket.read_some(bytes, in(5ms), {}).error().code == Errc::timeout);
    CancelToken cancel;
    cancel.cancel();
    CHECK(socket.read_some(bytes, in(1h), cancel).error().code == Errc::cancelled);
    const Bytes much(8u << 20);  // more than a socket holds: the peer reads nothing
    CHECK(socket.write_all(much, in(5ms), {}).error().code == Errc::timeout);
}

TEST_CASE("env/socket: nobody there, a full backlog, a path too long") {
    const Listener listener{0};
    CHECK(UnixSocket::connect(listener.folder.path() / "none", in(10s)).error().code ==
          Errc::not_found);
    const UnixSocket first = UnixSocket::connect(listener.path, in(10s)).value();
    CHECK(UnixSocket::connect(listener.path, in(5ms)).error().code == Errc::timeout);
    CancelToken cancel;
    cancel.cancel();
    CHECK(UnixSocket::connect(listener.path, in(1h), cancel).error().code == Errc::cancelled);
    const Path long_path = listener.folder.path() / std::string(108, 'x');
    CHECK(UnixSocket::connect(long_path, in(10s)).error().id == "socket.path_too_long");
}
