#include "vault/s3/location.hpp"

#include <algorithm>
#include <map>

#include "vault/object_names.hpp"
#include "vault/s3/answer.hpp"

namespace stillpoint::vault::s3 {
namespace {

constexpr std::string_view scheme = "s3://";
constexpr std::size_t bucket_bytes_min = 3, bucket_bytes_max = 63;
// S3 allows keys of 1024 bytes; object names of ours have up to 255.
constexpr std::size_t prefix_bytes_max = 512;
static_assert(prefix_bytes_max + names::bytes_max < 1024);

tl::unexpected<Error> bad(const std::string& text) {
    return fail(Errc::invalid, "s3.url", "the vault's URL " + text,
                "s3://bucket/prefix?endpoint=https://host&region=name; see stillpoint(1)");
}

bool is_lower(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_name(char c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

bool legal_bucket(std::string_view name) {
    return name.size() >= bucket_bytes_min && name.size() <= bucket_bytes_max &&
           is_lower(name.front()) && is_lower(name.back()) &&
           std::all_of(name.begin(), name.end(),
                       [](char c) { return is_lower(c) || c == '-' || c == '.'; });
}

/// Only what needs no encoding anywhere: keys stand in URLs, signatures and lists alike.
bool legal_prefix(std::string_view prefix) {
    if (prefix.size() > prefix_bytes_max) return false;
    while (!prefix.empty()) {
        const std::string_view part = prefix.substr(0, prefix.find('/'));
        if (part.empty() || part == "." || part == ".." ||
            !std::all_of(part.begin(), part.end(), is_name)) {
            return false;
        }
        prefix.remove_prefix(std::min(part.size() + 1, prefix.size()));
    }
    return true;
}

bool legal_endpoint(std::string_view endpoint) {
    for (const std::string_view start : {"http://", "https://"}) {
        if (!endpoint.starts_with(start)) continue;
        const std::string_view host = endpoint.substr(start.size());
        return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
            return is_name(c) || c == ':' || c == '[' || c == ']';
        });
    }
    return false;
}

bool legal_region(std::string_view region) {
    return !region.empty() && std::all_of(region.begin(), region.end(), is_name);
}

Result<std::map<std::string, std::string>> read_query(std::string_view query) {
    std::map<std::string, std::string> values{
        {"endpoint", ""}, {"region", ""}, {"addressing", ""}, {"lock", ""}, {"lock-mode", ""}};
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(pair.size() + 1, query.size()));
        const std::size_t equals = pair.find('=');
        const auto found = values.find(std::string(pair.substr(0, equals)));
        if (equals == std::string_view::npos || found == values.end() || !found->second.empty()) {
            return bad(
                "takes endpoint=, region=, addressing=, lock= and lock-mode= after the '?', each "
                "once");
        }
        found->second = pair.substr(equals + 1);
    }
    return values;
}

std::string first_of(std::initializer_list<std::string> values) {
    for (const std::string& value : values) {
        if (!value.empty()) return value;
    }
    return {};
}

Status settle_endpoint(Location& location, const std::string& given,
                       const std::string& addressing) {
    location.endpoint = given;
    while (location.endpoint.ends_with('/')) location.endpoint.pop_back();
    const bool aws = location.endpoint.empty();
    if (aws) location.endpoint = "https://s3." + location.region + ".amazonaws.com";
    if (!legal_endpoint(location.endpoint)) {
        return bad("or the configuration names an endpoint that is not http(s)://host[:port]");
    }
    // A certificate for *.endpoint does not cover a bucket with dots.
    const bool dots = location.bucket.find('.') != std::string::npos;
    location.addressing = aws && !dots ? Addressing::virtual_host : Addressing::path;
    if (addressing == "path") location.addressing = Addressing::path;
    if (addressing == "virtual") location.addressing = Addressing::virtual_host;
    if (addressing.empty() || addressing == "path" || addressing == "virtual") return {};
    return bad("or the configuration has an addressing that is neither path nor virtual");
}

Status settle_lock(Retention& lock, const std::string& days, const std::string& mode) {
    if (!days.empty()) {
        const auto number = days.ends_with('d') ? parse_number(days.substr(0, days.size() - 1))
                                                : std::optional<std::uint64_t>{};
        if (!number || *number == 0 || *number > lock_days_max) {
            return bad("has a lock that is not 1d to 36500d");
        }
        lock.days = static_cast<unsigned>(*number);
    }
    if (mode == "governance") lock.mode = LockMode::governance;
    if (mode == "compliance") lock.mode = LockMode::compliance;
    if (mode.empty() || mode == "governance" || mode == "compliance") return {};
    return bad("has a lock-mode that is neither governance nor compliance");
}

}  // namespace

std::string Location::base_url() const {
    if (addressing == Addressing::path) return endpoint + "/" + bucket + "/" + prefix;
    const std::size_t host = endpoint.find("://") + 3;
    return endpoint.substr(0, host) + bucket + "." + endpoint.substr(host) + "/" + prefix;
}

std::string Location::describe() const {
    std::string text = std::string(scheme) + bucket + "/" + prefix;
    text.pop_back();
    return text;
}

Result<Location> locate(const std::string& url, const S3Config& config,
                        const Environment& environment) {
    if (!url.starts_with(scheme)) return bad("does not begin with s3://");
    const std::string_view rest = std::string_view{url}.substr(scheme.size());
    const std::string_view place = rest.substr(0, rest.find('?'));
    const bool has_query = place.size() < rest.size();
    SP_ASSIGN(const auto query, read_query(has_query ? rest.substr(place.size() + 1) : ""));

    Location location;
    location.bucket = place.substr(0, place.find('/'));
    if (!legal_bucket(location.bucket)) {
        return bad("names no bucket: 3 to 63 of a-z, 0-9, '-' and '.'; keys never stand in it");
    }
    if (place.size() > location.bucket.size()) {
        location.prefix = place.substr(location.bucket.size() + 1);
    }
    while (location.prefix.ends_with('/')) location.prefix.pop_back();
    if (!legal_prefix(location.prefix)) {
        return bad("has a prefix with other characters than A-Z a-z 0-9 . _ - and single '/'");
    }
    if (!location.prefix.empty()) location.prefix += '/';
    location.region = first_of({query.at("region"), environment("AWS_REGION"),
                                environment("AWS_DEFAULT_REGION"), config.region, "us-east-1"});
    if (!legal_region(location.region)) return bad("or the configuration names no possible region");
    location.ca_file = first_of({environment("AWS_CA_BUNDLE"), config.ca_file});
    location.lock = {config.lock_days, config.lock_mode};
    SP_TRY(settle_lock(location.lock, query.at("lock"), query.at("lock-mode")));
    SP_TRY(settle_endpoint(location,
                           first_of({query.at("endpoint"), environment("AWS_ENDPOINT_URL_S3"),
                                     environment("AWS_ENDPOINT_URL"), config.endpoint}),
                           first_of({query.at("addressing"), config.addressing})));
    return location;
}

}  // namespace stillpoint::vault::s3
