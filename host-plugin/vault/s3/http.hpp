#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "env/clock.hpp"
#include "vault/s3/credentials.hpp"

namespace stillpoint::vault::s3 {

/// One request of S3. Keys of the vault need no encoding, values of a query come encoded.
struct HttpRequest {
    std::string method;                // GET, HEAD, PUT or DELETE
    std::string key;                   // below the vault's prefix; empty: the bucket itself
    std::string query;                 // sorted by name: it is part of the signature
    std::vector<std::string> headers;  // "name: value"
    ByteView body;                     // of a PUT; borrowed for the call
    ByteCount answer_max;  // a body with more bytes is no answer to this; refusals aside
};

struct HttpAnswer {
    int status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    Bytes body;

    [[nodiscard]] bool said_yes() const { return status >= 200 && status < 300; }
    /// Empty when the header is absent.
    [[nodiscard]] std::string header(const std::string& name) const;
};

/// Signs requests, sends them, hands back what came. One attempt, no judgement of the status.
/// @threads any, concurrently
class Http {
public:
    virtual ~Http() = default;
    /// @param limit for the whole exchange
    /// @errors io, id "s3.unreachable": no connection · io, id "s3.cut": ended in the middle ·
    ///         timeout, id "s3.slow" · denied, id "s3.tls" · io, id "s3.protocol" · cancelled
    virtual Result<HttpAnswer> send(const HttpRequest& request, const Credentials& credentials,
                                    env::Nanoseconds limit) = 0;
};

}  // namespace stillpoint::vault::s3
