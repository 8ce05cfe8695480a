#include <cstdlib>

#include "env/poll.hpp"
#include "vault/s3/curl_http.hpp"
#include "vault/s3/s3_store.hpp"

namespace stillpoint::vault::s3 {
namespace {

std::string from_environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string{} : std::string{value};
}

const env::Clock& system_clock() {
    static const env::SystemClock clock;  // has no state
    return clock;
}

}  // namespace

Result<std::unique_ptr<BlockStore>> open_s3_store(const std::string& url, const S3Config& config,
                                                  env::Nanoseconds stall_max,
                                                  const env::CancelToken& cancel) {
    SP_ASSIGN(const Location location, locate(url, config, from_environment));
    ClientParts parts;
    parts.http = std::make_unique<CurlHttp>(location, CurlHttp::Limits{}, cancel);
    parts.credentials =
        std::make_unique<CredentialSource>(config, from_environment, system_clock(), cancel);
    parts.pause = [cancel](env::Nanoseconds time) { return env::pause(time, cancel); };
    auto client = std::make_unique<Client>(location.describe(), std::move(parts),
                                           Patience{.stall_max = stall_max}, system_clock());
    return std::make_unique<S3Store>(location, std::move(client), system_clock());
}

}  // namespace stillpoint::vault::s3
