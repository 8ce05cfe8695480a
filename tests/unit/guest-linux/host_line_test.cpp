#include "channel/host_line.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "channel/port_finder.hpp"
#include "service/command_line.hpp"
#include "service/guest_log.hpp"
#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;
using serialization::Frame;

namespace {

/// A character device whose other end the test holds.
struct Terminal {
    Terminal() : master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)} {
        REQUIRE(::grantpt(master.get()) == 0);
        REQUIRE(::unlockpt(master.get()) == 0);
        name = ::ptsname(master.get());
        termios raw{};
        ::tcgetattr(master.get(), &raw);
        ::cfmakeraw(&raw);
        ::tcsetattr(master.get(), TCSANOW, &raw);
    }
    void put(const Frame& frame) const {
        const Bytes bytes = serialization::encode_frame(frame);
        put(ByteView{bytes});
    }
    void put(ByteView bytes) const {
        REQUIRE(::write(master.get(), bytes.data(), bytes.size()) ==
                static_cast<ssize_t>(bytes.size()));
    }
    os::UniqueFd master;
    std::string name;
};

HostLine::Served serve(HostLine& line, os::Nanoseconds span = 1s) {
    pollfd entry{line.poll_fd(), POLLIN, 0};
    ::poll(&entry, 1, os::poll_ms(os::Nanoseconds{0}, span));
    return line.serve(entry.revents);
}

}  // namespace

TEST_CASE("guest-linux/port: found by its name, wherever it is") {
    const test::TempFolder root;
    root.file("sys/class/virtio-ports/vport1p1/name", "com.example.other\n");
    root.file("sys/class/virtio-ports/vport4p2/name", "org.stillpoint.guest.0\n");
    root.file("dev/vport4p2", "");
    const std::string sys = root.path() / "sys";
    const std::string dev = root.path() / "dev";
    CHECK(find_port(guest_port_name, sys, dev).value() == dev + "/vport4p2");
    CHECK(find_port("absent", sys, dev).error().id == "channel.no_port");
    // Without a node of its own: udev's link.
    root.file("dev/virtio-ports/absent", "");
    CHECK(find_port("absent", sys, dev).value() == dev + "/virtio-ports/absent");
    CHECK(find_port(guest_port_name, "/nonexistent", "/nonexistent").error().code ==
          Errc::not_found);
}

TEST_CASE("guest-linux/line: frames both ways over a character device") {
    Terminal terminal;
    HostLine line{[&]() -> Result<std::string> { return terminal.name; }};
    REQUIRE(line.poll_fd() >= 0);
    terminal.put({7, 1, to_bytes(as_bytes("hello"))});
    CHECK(serve(line) == HostLine::Served::nothing);
    const auto frame = line.next();
    REQUIRE(frame);
    CHECK(as_text(frame->payload) == "hello");
    REQUIRE(line.send({7, 1, to_bytes(as_bytes("welcome"))}));
    std::array<std::byte, 256> piece;
    const ssize_t got = ::read(terminal.master.get(), piece.data(), piece.size());
    serialization::FrameReader reader;
    reader.feed(ByteView{piece}.first(static_cast<std::size_t>(got)));
    CHECK(as_text(reader.next()->payload) == "welcome");
}

TEST_CASE("guest-linux/line: a hang-up is told once, and then looked at only now and then") {
    HostLine line = [] {
        return HostLine{[name = std::string()]() mutable -> Result<std::string> {
            return fail(Errc::not_found, "channel.no_port", "no port");
        }};
    }();
    CHECK(line.poll_fd() == -1);
    CHECK(line.problem() == "no port");
    CHECK(line.wake_at() > os::boottime() + 1s);  // a port that is absent is not looked for busily
    std::optional<Terminal> terminal{std::in_place};
    HostLine other{[&]() -> Result<std::string> { return terminal->name; }};
    REQUIRE(other.poll_fd() >= 0);
    terminal->put({7, 1, {}});
    CHECK(serve(other) == HostLine::Served::nothing);
    CHECK(other.next());
    terminal->master.reset();
    CHECK(serve(other) == HostLine::Served::lost);
    CHECK(other.poll_fd() == -1);
    CHECK(other.wake_at() <= os::boottime() + 1s);
    CHECK(!other.send({7, 2, {}}));
}

TEST_CASE("guest-linux/line: the rest of an old frame does not swallow the next host's") {
    Terminal terminal;
    HostLine line{[&]() -> Result<std::string> { return terminal.name; }};
    REQUIRE(line.poll_fd() >= 0);
    const Bytes old = serialization::encode_frame({1, 1, Bytes(2000)});
    terminal.put(ByteView{old}.first(100));
    serve(line);
    CHECK(!line.next());
    terminal.put({2, 1, to_bytes(as_bytes("new"))});
    serve(line);
    std::optional<Frame> frame = line.next();
    const os::Nanoseconds until = os::boottime() + 3s;
    while (!frame && os::boottime() < until) {
        ::poll(nullptr, 0, os::poll_ms(os::boottime(), std::min(line.wake_at(), until)));
        line.serve(0);
        frame = line.next();
    }
    REQUIRE(frame);
    CHECK(as_text(frame->payload) == "new");
}

TEST_CASE("guest-linux/line: a host that does not read is given up, not waited for") {
    Terminal terminal;
    HostLine line{[&]() -> Result<std::string> { return terminal.name; }};
    REQUIRE(line.poll_fd() >= 0);
    const os::Nanoseconds begin = os::boottime();
    Status sent;
    for (std::uint32_t i = 1; sent && i < 10; ++i) sent = line.send({7, i, Bytes(500'000)});
    REQUIRE(!sent);
    CHECK(sent.error().id == "channel.write");
    CHECK(os::boottime() - begin < 5s);
}

TEST_CASE("guest-linux/log: nothing is written while held, and nothing is lost") {
    os::FdPair pipe = os::make_pipe().value();
    ::fcntl(pipe.first.get(), F_SETFL, O_NONBLOCK);
    const auto written = [&] {
        std::array<char, 65536> piece{};
        const ssize_t got = ::read(pipe.first.get(), piece.data(), piece.size());
        return std::string(piece.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    };
    GuestLog log{pipe.second.get(), Severity::info};
    log.line(Severity::debug, "too quiet");
    log.line(Severity::warning, "one\ntwo");
    CHECK(written() == "<4>stillpoint-guest: one?two\n");
    log.hold();
    log.line(Severity::info, "in the window");
    CHECK(written().empty());
    log.release();
    CHECK(written() == "<6>stillpoint-guest: in the window\n");
    log.hold();
    for (std::size_t i = 0; i < lines_held_max + 5; ++i) log.line(Severity::info, "x");
    log.release();
    CHECK(written().ends_with("5 older lines were dropped\n"));
}

TEST_CASE("guest-linux/command line: words are known or refused") {
    const auto parse = [](std::vector<const char*> words) { return parse_command_line(words); };
    CHECK(parse({})->command == Command::run);
    CHECK(parse({"--channel", "/x", "run", "--log", "kmsg"})->channel == "/x");
    CHECK(parse({"plan", "--json", "--config", "/c"})->json);
    CHECK(parse({"--version"})->command == Command::version);
    for (const auto& bad : std::vector<std::vector<const char*>>{
             {"freeze"}, {"--channel"}, {"run", "plan"}, {"--json"}, {"--jso"}}) {
        CHECK(parse(bad).error().id == "usage");
    }
}
