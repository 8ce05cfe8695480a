#pragma once
#include <functional>
#include <string>

#include "base/result.hpp"
#include "vault/s3/retention.hpp"

namespace stillpoint::vault::s3 {

/// How a bucket stands in the addresses of its objects.
enum class Addressing {
    path,          // https://endpoint/bucket/object: most stores of one's own
    virtual_host,  // https://bucket.endpoint/object: AWS
};

/// Where a vault is, with everything decided.
struct Location {
    std::string bucket;
    std::string prefix;    // of every key: empty, or it ends with '/'
    std::string endpoint;  // scheme and authority, no '/' at the end
    std::string region;
    Addressing addressing = Addressing::path;
    std::string ca_file;  // empty: the system's
    Retention lock;

    /// Scheme, authority and path under which the keys begin.
    [[nodiscard]] std::string base_url() const;
    /// For people: s3://bucket/prefix, without a '/' at the end.
    [[nodiscard]] std::string describe() const;
};

/// @return the value of an environment variable, empty when unset
using Environment = std::function<std::string(const char* name)>;

/// Reads s3://bucket/prefix?endpoint=URL&region=R&addressing=path|virtual&lock=30d&
/// lock-mode=governance|compliance. What the URL leaves out
/// comes from AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION and
/// AWS_CA_BUNDLE, then from `config`, then it is AWS.
/// @errors invalid, id "s3.url": the text never repeats what may be a secret
[[nodiscard]] Result<Location> locate(const std::string& url, const S3Config& config,
                                      const Environment& environment);

}  // namespace stillpoint::vault::s3
