#include "fakes/http_script.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/check.hpp"

namespace stillpoint::fakes {
namespace {

std::size_t length_of(const std::string& head) {
    const std::size_t at = head.find("Content-Length: ");
    return at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
}

bool send_all(int fd, const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) return false;
        sent += static_cast<std::size_t>(n);
    }
    return true;
}

}  // namespace

HttpScript::HttpScript(Answer answer)
    : answer_(std::move(answer)),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(env::Doorbell::create().value()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SP_CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    SP_CHECK(::listen(listener_.get(), 16) == 0);
    acceptor_ = std::jthread{[this] { accept_all(); }};
}

HttpScript::~HttpScript() {
    stop_.ring();
    acceptor_.join();
    clients_.clear();
}

std::string HttpScript::url() const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    SP_CHECK(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    return "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

std::vector<HttpSeen> HttpScript::seen() const {
    const std::scoped_lock lock{mutex_};
    return seen_;
}

bool HttpScript::wait_for(int fd, short events) const {
    std::array polls{pollfd{fd, events, 0}, pollfd{stop_.poll_fd(), POLLIN, 0}};
    const env::SystemClock clock;
    const auto ready = env::wait_any(polls, env::Deadline{clock, std::chrono::seconds{60}});
    return ready && *ready && polls[1].revents == 0;
}

void HttpScript::accept_all() {
    for (int connection = 0; wait_for(listener_.get(), POLLIN); ++connection) {
        env::UniqueFd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        if (!client.valid()) continue;
        clients_.emplace_back([this, connection, fd = std::move(client)]() mutable {
            serve(std::move(fd), connection);
        });
    }
}

void HttpScript::serve(env::UniqueFd client, int connection) {
    std::string input;
    std::array<char, 65536> buffer{};
    const auto more = [&] {
        if (!wait_for(client.get(), POLLIN)) return false;
        const ssize_t n = ::recv(client.get(), buffer.data(), buffer.size(), 0);
        if (n > 0) input.append(buffer.data(), static_cast<std::size_t>(n));
        return n > 0;
    };
    while (true) {
        std::size_t end = 0;
        while ((end = input.find("\r\n\r\n")) == std::string::npos) {
            if (!more()) return;
        }
        HttpSeen seen{connection, input.substr(0, end + 4), {}};
        input.erase(0, end + 4);
        if (seen.head.find("Expect: 100-continue") != std::string::npos &&
            !send_all(client.get(), "HTTP/1.1 100 Continue\r\n\r\n")) {
            return;
        }
        while (input.size() < length_of(seen.head)) {
            if (!more()) return;
        }
        seen.body = input.substr(0, length_of(seen.head));
        input.erase(0, seen.body.size());
        HttpDone done;
        {
            const std::scoped_lock lock{mutex_};
            seen_.push_back(seen);
            done = answer_(seen, seen_.size() - 1);
        }
        if (!send_all(client.get(), done.bytes)) return;
        if (done.hang) (void)wait_for(stop_.poll_fd(), POLLIN);
        if (done.close || done.hang) return;
    }
}

}  // namespace stillpoint::fakes
