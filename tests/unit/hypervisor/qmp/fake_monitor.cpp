#include "fake_monitor.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace stillpoint::test {

void Script::send(const std::string& text) const {
    std::size_t sent = 0;
    while (sent < text.size()) {
        const ssize_t n = ::send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) return;  // the client had enough
        sent += static_cast<std::size_t>(n);
    }
}

std::string Script::line() {
    std::array<char, 4096> bytes{};
    while (buffer_.find('\n') == std::string::npos) {
        const ssize_t n = ::read(fd_, bytes.data(), bytes.size());
        if (n <= 0) return {};
        buffer_.append(bytes.data(), static_cast<std::size_t>(n));
    }
    const auto end = buffer_.find('\n');
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return line;
}

void Script::welcome() {
    send(greeting);
    line();
    send("{\"return\": {}, \"id\": 1}\r\n");
}

void Script::until_client_leaves() {
    while (!line().empty()) {
    }
}

FakeMonitor::FakeMonitor(std::function<void(Script&)> script)
    : folder_(
          env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-fake-").value()),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path();
    REQUIRE(text.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, text.data(), text.size());
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    thread_ = std::thread([this, script = std::move(script)] {
        const env::UniqueFd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        Script connection{client.get()};
        if (client.valid()) script(connection);
    });
}

FakeMonitor::~FakeMonitor() {
    ::shutdown(listener_.get(), SHUT_RDWR);  // ends an accept that nobody answered
    thread_.join();
}

}  // namespace stillpoint::test
