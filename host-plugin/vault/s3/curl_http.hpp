#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "env/cancel.hpp"
#include "vault/s3/http.hpp"

namespace stillpoint::vault::s3 {

/// HTTP by libcurl, which also signs (AWS Signature Version 4). Each call that is under way has a
/// connection of its own; idle ones are kept and used again, the warmest first. A call waits in
/// poll(2) with its limit and the wish to stop, never in the kernel, so no thread has to be given
/// up (ADR-0014 is about files).
/// @source AWS "Authenticating Requests (Signature Version 4)"; CURLOPT_AWS_SIGV4(3)
class CurlHttp final : public Http {
public:
    /// Shorter waits for tests; the defaults are for networks.
    struct Limits {
        env::Nanoseconds connect = std::chrono::seconds{10};
        env::Nanoseconds silence = std::chrono::seconds{30};  // without a byte in any direction
    };
    CurlHttp(const Location& location, const Limits& limits, env::CancelToken cancel);
    ~CurlHttp() override;
    Result<HttpAnswer> send(const HttpRequest& request, const Credentials& credentials,
                            env::Nanoseconds limit) override;

private:
    class Connection;
    std::unique_ptr<Connection> borrow();
    void give_back(std::unique_ptr<Connection> connection);

    const Location location_;
    const Limits limits_;
    env::CancelToken cancel_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace stillpoint::vault::s3
