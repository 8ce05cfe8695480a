#include "vault/s3/curl_connection.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "env/no_pipe_signal.hpp"
#include "vault/s3/answer.hpp"

namespace stillpoint::vault::s3 {
namespace {

constexpr long buffer_bytes = 512L << 10;
constexpr std::size_t headers_max = 100;
constexpr std::uint64_t refusal_bytes_max = 64u << 10;  // an error document has less than 1 KiB
constexpr std::uint64_t reserve_bytes_max = 64u
                                            << 20;  // the largest pack; a store may say anything
constexpr int poll_ms = 1000;  // libcurl says itself when it wants to be called sooner

// Once in a process, before the first handle; libcurl 7.84 and later may do it on any thread.
void start_library() {
    static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
    SP_CHECK(started == CURLE_OK);
}

long to_ms(env::Nanoseconds time) {
    constexpr std::chrono::milliseconds least{1}, most{std::chrono::hours{24}};
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(time), least, most).count();
}

/// Programs started meanwhile must not inherit the connection.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

/// What libcurl calls back with, for the time of one request.
struct CurlConnection::Exchange {
    HttpAnswer answer;
    std::uint64_t body_max = 0;  // of an answer that says yes
    bool too_long = false;
    bool whole_headers = false;  // libcurl takes headers that are cut for an answer
    std::unique_ptr<curl_slist, CurlListDeleter> headers;
    std::array<char, CURL_ERROR_SIZE> text{};

    void add_header(const std::string& line) {
        curl_slist* longer = curl_slist_append(headers.get(), line.c_str());
        SP_CHECK(longer != nullptr);
        (void)headers.release();
        headers.reset(longer);
    }

    static std::size_t on_body(char* data, std::size_t, std::size_t count, void* self) {
        auto& exchange = *static_cast<Exchange*>(self);
        Bytes& body = exchange.answer.body;
        const std::uint64_t max =
            exchange.answer.said_yes() ? exchange.body_max : refusal_bytes_max;
        if (count > max - body.size()) {
            exchange.too_long = true;
            return 0;
        }
        // The length was said, and is within what the caller expects: no growing step by step.
        if (body.empty()) {
            const auto said = parse_number(exchange.answer.header("content-length"));
            body.reserve(std::min({said.value_or(count), max, reserve_bytes_max}));
        }
        const ByteView bytes = as_bytes({data, count});
        body.insert(body.end(), bytes.begin(), bytes.end());
        return count;
    }

    static std::size_t on_header(char* data, std::size_t, std::size_t count, void* self) {
        auto& exchange = *static_cast<Exchange*>(self);
        auto& headers = exchange.answer.headers;
        const std::string_view line{data, count};
        if (line.starts_with("HTTP/")) {
            headers.clear();  // those before were of a "100 Continue"
            const auto status = parse_number(line.substr(std::min(line.find(' ') + 1, count), 3));
            exchange.answer.status = static_cast<int>(status.value_or(0));
            return count;
        }
        exchange.whole_headers = line == "\r\n" || line == "\n";
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || headers.size() >= headers_max) return count;
        std::string name{line.substr(0, colon)};
        std::transform(name.begin(), name.end(), name.begin(), [](char c) {
            return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        });
        const std::string_view value = line.substr(colon + 1);
        const std::size_t from = std::min(value.find_first_not_of(" \t"), value.size());
        const std::size_t to = value.find_last_not_of(" \t\r\n");
        headers[name] = to == std::string_view::npos ? "" : value.substr(from, to + 1 - from);
        return count;
    }
};

CurlConnection::CurlConnection(const Location& location, env::Nanoseconds connect_max,
                               env::Nanoseconds silence_max)
    : location_(location), connect_max_(connect_max), silence_max_(silence_max) {
    start_library();
    multi_.reset(curl_multi_init());
    easy_.reset(curl_easy_init());
    SP_CHECK(multi_ && easy_);  // fails for want of memory alone
}

template <class T>
void CurlConnection::set(CURLoption option, T value) {
    // Fails for want of memory, or for an option that this libcurl was built without: then what is
    // sent would not be what was meant.
    SP_CHECK(curl_easy_setopt(easy_.get(), option, value) == CURLE_OK);
}

void CurlConnection::prepare_network(env::Nanoseconds limit) {
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // a name that does not resolve is not waited for
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
    set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, to_ms(std::min(connect_max_, limit)));
    set(CURLOPT_TIMEOUT_MS, to_ms(limit));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, std::max(to_ms(silence_max_) / 1000, 1L));
    set(CURLOPT_BUFFERSIZE, buffer_bytes);
    set(CURLOPT_UPLOAD_BUFFERSIZE, buffer_bytes);
    if (!location_.ca_file.empty()) set(CURLOPT_CAINFO, location_.ca_file.c_str());
}

void CurlConnection::prepare(const HttpRequest& request, const Credentials& credentials,
                             env::Nanoseconds limit, Exchange& exchange) {
    curl_easy_reset(easy_.get());  // keeps the connection
    prepare_network(limit);
    std::string url = location_.base_url() + request.key;
    if (request.key.empty()) {
        // A list is asked of the bucket; the prefix stands in the query.
        url.resize(url.size() - location_.prefix.size());
        if (location_.addressing == Addressing::path) url.pop_back();
    }
    if (!request.query.empty()) url += "?" + request.query;
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_USERNAME, credentials.key_id.c_str());
    set(CURLOPT_PASSWORD, credentials.secret.c_str());
    set(CURLOPT_AWS_SIGV4, ("aws:amz:" + location_.region + ":s3").c_str());
    exchange.add_header("x-amz-content-sha256: " + to_hex(chunk::sha256(request.body)));
    if (!credentials.token.empty()) {
        exchange.add_header("x-amz-security-token: " + credentials.token);
    }
    for (const std::string& header : request.headers) exchange.add_header(header);
    if (request.method == "HEAD") set(CURLOPT_NOBODY, 1L);
    if (request.method == "DELETE") set(CURLOPT_CUSTOMREQUEST, "DELETE");
    if (request.method == "PUT") {
        // As a POST by another name: unlike an upload it goes out without waiting for "100
        // Continue" when it is small, and is sent again from memory by itself.
        exchange.add_header("content-type: application/octet-stream");
        set(CURLOPT_POSTFIELDS,
            request.body.empty() ? "" : reinterpret_cast<const char*>(request.body.data()));
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        set(CURLOPT_CUSTOMREQUEST, "PUT");
    }
    set(CURLOPT_HTTPHEADER, exchange.headers.get());
    set(CURLOPT_ERRORBUFFER, exchange.text.data());
    exchange.body_max = request.answer_max.raw();
    set(CURLOPT_WRITEFUNCTION, &Exchange::on_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
    set(CURLOPT_HEADERFUNCTION, &Exchange::on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
}

Result<CURLcode> CurlConnection::perform(const env::CancelToken& cancel) {
    const auto failed = [](CURLMcode code) {
        return fail(Errc::io, "s3.protocol", std::string("libcurl: ") + curl_multi_strerror(code));
    };
    while (true) {
        int running = 0, left = 0;
        const CURLMcode going = curl_multi_perform(multi_.get(), &running);
        if (going != CURLM_OK) return failed(going);
        if (const CURLMsg* done = curl_multi_info_read(multi_.get(), &left)) {
            return done->data.result;
        }
        curl_waitfd wish{.fd = cancel.poll_fd(), .events = CURL_WAIT_POLLIN, .revents = 0};
        const CURLMcode waited = curl_multi_poll(multi_.get(), &wish, 1, poll_ms, nullptr);
        if (waited != CURLM_OK) return failed(waited);
        SP_TRY(cancel.check());
    }
}

Error CurlConnection::error_of(CURLcode code, const Exchange& exchange) const {
    const std::string why =
        clean_text(exchange.text[0] != '\0' ? exchange.text.data() : curl_easy_strerror(code));
    if (exchange.too_long) {
        return {Errc::io, "s3.protocol", "an answer is longer than what was asked for", {}};
    }
    switch (static_cast<int>(code)) {
        case CURLE_COULDNT_CONNECT:
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
            return {Errc::io, "s3.unreachable", why,
                    "see that " + location_.endpoint + " is right and can be reached from here"};
        case CURLE_OPERATION_TIMEDOUT:
            return {Errc::timeout, "s3.slow", why, "see whether the store is overloaded"};
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
            return {Errc::denied, "s3.tls", why,
                    "if the store's certificate is of an authority of your own, name its file "
                    "with AWS_CA_BUNDLE or <s3 ca> in host.xml"};
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_URL_MALFORMAT:
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_HTTP2:
            return {Errc::io, "s3.protocol", why, {}};
        default:  // whatever happens to a connection in use
            return {Errc::io, "s3.cut", why, {}};
    }
}

Result<HttpAnswer> CurlConnection::send(const HttpRequest& request, const Credentials& credentials,
                                        env::Nanoseconds limit, const env::CancelToken& cancel) {
    // TLS libraries write without MSG_NOSIGNAL.
    const env::NoPipeSignal quiet;
    Exchange exchange;
    prepare(request, credentials, limit, exchange);
    SP_CHECK(curl_multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK);
    const auto code = perform(cancel);
    // A request that was given up takes its connection along.
    curl_multi_remove_handle(multi_.get(), easy_.get());
    curl_easy_reset(easy_.get());  // nothing of this call is pointed to any more
    if (!code) return fail(code.error());
    if (*code != CURLE_OK) return fail(error_of(*code, exchange));
    if (!exchange.whole_headers) return fail(error_of(CURLE_PARTIAL_FILE, exchange));
    return std::move(exchange.answer);
}

}  // namespace stillpoint::vault::s3
