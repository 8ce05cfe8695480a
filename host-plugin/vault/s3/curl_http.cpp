#include "vault/s3/curl_http.hpp"

#include "base/check.hpp"
#include "vault/s3/curl_connection.hpp"

namespace stillpoint::vault::s3 {
namespace {

// More requests at once than any command makes: what is left over is closed.
constexpr std::size_t idle_max = 16;

}  // namespace

class CurlHttp::Connection final : public CurlConnection {
    using CurlConnection::CurlConnection;
};

CurlHttp::CurlHttp(const Location& location, const Limits& limits, env::CancelToken cancel)
    : location_(location), limits_(limits), cancel_(std::move(cancel)) {}

CurlHttp::~CurlHttp() = default;

std::unique_ptr<CurlHttp::Connection> CurlHttp::borrow() {
    const std::scoped_lock lock{mutex_};
    if (idle_.empty()) {
        return std::make_unique<Connection>(location_, limits_.connect, limits_.silence);
    }
    auto warmest = std::move(idle_.back());
    idle_.pop_back();
    return warmest;
}

void CurlHttp::give_back(std::unique_ptr<Connection> connection) {
    const std::scoped_lock lock{mutex_};
    if (idle_.size() < idle_max) idle_.push_back(std::move(connection));
}

Result<HttpAnswer> CurlHttp::send(const HttpRequest& request, const Credentials& credentials,
                                  env::Nanoseconds limit) {
    SP_TRY(cancel_.check());
    auto connection = borrow();
    auto answer = connection->send(request, credentials, limit, cancel_);
    give_back(std::move(connection));
    return answer;
}

}  // namespace stillpoint::vault::s3
