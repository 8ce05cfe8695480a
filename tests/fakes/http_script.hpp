#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "env/fd.hpp"
#include "env/poll.hpp"

namespace stillpoint::fakes {

/// One request as it came over the wire.
struct HttpSeen {
    int connection = 0;  // 0: the first one
    std::string head;    // request line and headers
    std::string body;
};

/// What a scripted server does with a request.
struct HttpDone {
    std::string bytes;   // sent as they are
    bool close = false;  // afterwards
    bool hang = false;   // say nothing more and keep the connection
};

/// An HTTP server on loopback that says what a test wants, one thread for each connection.
class HttpScript {
public:
    using Answer = std::function<HttpDone(const HttpSeen&, std::size_t number)>;
    /// @param answer called for the n-th request (0-based), one at a time
    explicit HttpScript(Answer answer);
    HttpScript(const HttpScript&) = delete;
    HttpScript& operator=(const HttpScript&) = delete;
    ~HttpScript();
    /// http://127.0.0.1:PORT
    [[nodiscard]] std::string url() const;
    [[nodiscard]] std::vector<HttpSeen> seen() const;

private:
    void accept_all();
    void serve(env::UniqueFd client, int connection);
    bool wait_for(int fd, short events) const;

    Answer answer_;
    env::UniqueFd listener_;
    env::Doorbell stop_;
    mutable std::mutex mutex_;
    std::vector<HttpSeen> seen_;
    std::vector<std::jthread> clients_;
    std::jthread acceptor_;  // last: adds to the above
};

/// A whole answer with its length. @param headers lines that end with \r\n
[[nodiscard]] inline std::string http_answer(const std::string& status, const std::string& body,
                                             const std::string& headers = {}) {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
}

}  // namespace stillpoint::fakes
