#include <algorithm>
#include <array>
#include <cstdlib>

#include "vault/s3/client.hpp"

namespace stillpoint::vault::s3 {
namespace {

using Kind = Verdict::Kind;

constexpr std::chrono::seconds asked_wait_max{60};

/// Refusals with a meaning of their own, whatever their status.
struct Known {
    std::string_view code;
    Kind kind;
    Errc errc;
    const char* id;
    const char* remedy;
};
constexpr const char* look_at_keys = "see that key id, secret and token are right and belong there";
constexpr const char* set_clock = "set the clock of this host (NTP)";
constexpr const char* make_bucket = "create the bucket, or correct the vault's URL";
constexpr const char* make_room = "raise the quota, or forget points and run stillpoint vault gc";
constexpr const char* name_region = "name the bucket's region: ?region= in the URL or AWS_REGION";
constexpr std::array known{
    Known{"NoSuchBucket", Kind::refused, Errc::not_found, "s3.no_bucket", make_bucket},
    Known{"RequestTimeTooSkewed", Kind::refused, Errc::denied, "s3.clock_skew", set_clock},
    Known{"AuthorizationHeaderMalformed", Kind::refused, Errc::invalid, "s3.wrong_region",
          name_region},
    Known{"IllegalLocationConstraintException", Kind::refused, Errc::invalid, "s3.wrong_region",
          name_region},
    Known{"QuotaExceeded", Kind::refused, Errc::no_space, "s3.quota", make_room},
    Known{"ExpiredToken", Kind::renew, Errc::denied, "s3.bad_credentials", look_at_keys},
    Known{"TokenRefreshRequired", Kind::renew, Errc::denied, "s3.bad_credentials", look_at_keys},
    Known{"InvalidToken", Kind::renew, Errc::denied, "s3.bad_credentials", look_at_keys},
    Known{"InvalidAccessKeyId", Kind::renew, Errc::denied, "s3.bad_credentials", look_at_keys},
    Known{"SignatureDoesNotMatch", Kind::renew, Errc::denied, "s3.bad_credentials", look_at_keys},
    // Bytes that changed on their way, or did not all arrive.
    Known{"XAmzContentSHA256Mismatch", Kind::again, Errc::io, "s3.failed", ""},
    Known{"BadDigest", Kind::again, Errc::io, "s3.failed", ""},
    Known{"IncompleteBody", Kind::again, Errc::io, "s3.failed", ""},
    Known{"RequestTimeout", Kind::again, Errc::io, "s3.failed", ""},
    // Two conditional writes of one name at the same moment: one of them decides.
    Known{"ConditionalRequestConflict", Kind::again, Errc::io, "s3.failed", ""},
    Known{"OperationAborted", Kind::again, Errc::io, "s3.failed", ""},
};

std::string words_of(const HttpAnswer& answer, const Refusal& refusal) {
    std::string words =
        refusal.code.empty() ? "HTTP status " + std::to_string(answer.status) : refusal.code;
    if (!refusal.message.empty()) words += " (" + refusal.message + ")";
    return words;
}

/// "the clock of this host is 23 min behind"
std::string clock_words(const HttpAnswer& answer, env::Nanoseconds now) {
    const auto theirs = parse_http_date(answer.header("date"));
    if (!theirs) return {};
    const auto ahead = std::chrono::duration_cast<std::chrono::seconds>(now - *theirs).count();
    return ": the clock of this host is " + std::to_string(std::abs(ahead)) + " s " +
           (ahead < 0 ? "behind" : "ahead of") + " the store's";
}

Verdict judge_status(const HttpAnswer& answer, const std::string& words) {
    switch (answer.status) {
        case 408:
        case 429:
        case 500:
        case 502:
        case 503:
        case 504:
        case 509: {
            const auto asked = parse_number(answer.header("retry-after"));
            const std::chrono::seconds wait{std::min<std::uint64_t>(
                asked.value_or(0), static_cast<std::uint64_t>(asked_wait_max.count()))};
            return {Kind::again, {Errc::io, "s3.failed", words, "see the store's own log"}, wait};
        }
        case 401:
        case 403:
            return {Kind::refused,
                    {Errc::denied, "s3.denied", words,
                     "give the key the rights that docs/stores.md lists"}};
        case 301:
        case 302:
        case 307:
        case 308:
            return {Kind::refused,
                    {Errc::invalid, "s3.redirect", words + ": the bucket is at another address",
                     "name its own endpoint and region; redirects are not followed"}};
        case 501:
            return {Kind::refused,
                    {Errc::unsupported, "s3.unsupported", words,
                     "the store must know If-None-Match on PUT and ListObjectsV2; update it"}};
        case 507:
            return {Kind::refused, {Errc::no_space, "s3.quota", words, make_room}};
        default:
            return {Kind::refused, {Errc::io, "s3.failed", words, "see the store's own log"}};
    }
}

}  // namespace

env::Nanoseconds backoff(unsigned attempt, const env::RandomFn& random) {
    constexpr std::chrono::milliseconds first{100}, most{10'000};
    constexpr unsigned doublings_max = 7;  // 12.8 s: more than the most
    const auto whole = std::min(first * (1u << std::min(attempt, doublings_max)), most);
    const auto half = static_cast<std::uint64_t>(whole.count()) / 2;
    return std::chrono::milliseconds{half + env::random_below(random, half + 1)};
}

Verdict judge(const HttpAnswer& answer, env::Nanoseconds now) {
    const Refusal refusal = answer.said_yes() ? Refusal{} : parse_refusal(answer.body);
    const bool answered = answer.said_yes() || answer.status == 412 || answer.status == 416 ||
                          (answer.status == 404 && refusal.code != "NoSuchBucket");
    if (answered) return {};
    std::string words = words_of(answer, refusal);
    const std::string region =
        refusal.region.empty() ? clean_text(answer.header("x-amz-bucket-region")) : refusal.region;
    if (!region.empty()) {
        return {Kind::refused,
                {Errc::invalid, "s3.wrong_region", words + ": the bucket is in " + region,
                 name_region}};
    }
    const auto* found = std::find_if(known.begin(), known.end(),
                                     [&](const Known& k) { return k.code == refusal.code; });
    if (found == known.end()) return judge_status(answer, words);
    if (found->code == "RequestTimeTooSkewed") words += clock_words(answer, now);
    return {found->kind, {found->errc, found->id, words, found->remedy}};
}

}  // namespace stillpoint::vault::s3
