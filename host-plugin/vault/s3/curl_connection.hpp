#pragma once
#include <curl/curl.h>

#include <memory>

#include "env/cancel.hpp"
#include "vault/s3/http.hpp"

namespace stillpoint::vault::s3 {

struct CurlEasyDeleter {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CurlMultiDeleter {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct CurlListDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// One kept connection to the store and one request at a time on it.
/// @threads one at a time
class CurlConnection {
public:
    CurlConnection(const Location& location, env::Nanoseconds connect_max,
                   env::Nanoseconds silence_max);
    CurlConnection(const CurlConnection&) = delete;
    CurlConnection& operator=(const CurlConnection&) = delete;

    /// As Http::send(). @param cancel ends the wait at once, and the connection with it
    Result<HttpAnswer> send(const HttpRequest& request, const Credentials& credentials,
                            env::Nanoseconds limit, const env::CancelToken& cancel);

private:
    struct Exchange;
    template <class T>
    void set(CURLoption option, T value);
    void prepare(const HttpRequest& request, const Credentials& credentials, env::Nanoseconds limit,
                 Exchange& exchange);
    void prepare_network(env::Nanoseconds limit);
    Result<CURLcode> perform(const env::CancelToken& cancel);
    [[nodiscard]] Error error_of(CURLcode code, const Exchange& exchange) const;

    Location location_;
    env::Nanoseconds connect_max_, silence_max_;
    std::unique_ptr<CURLM, CurlMultiDeleter> multi_;
    std::unique_ptr<CURL, CurlEasyDeleter> easy_;
};

}  // namespace stillpoint::vault::s3
