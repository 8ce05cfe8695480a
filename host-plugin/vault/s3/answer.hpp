#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "env/clock.hpp"
#include "vault/block_store.hpp"

/// Reading what a store says. It is trusted with nothing: lengths are bounded before they get here,
/// names and texts are checked.
/// @source AWS S3 API reference: "Error responses", "ListObjectsV2"; RFC 9110
namespace stillpoint::vault::s3 {

/// Decimal digits and nothing else.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

/// RFC 3339 UTC ("2026-11-26T11:14:14.845Z", with or without a fraction). @return since 1970
[[nodiscard]] std::optional<env::Nanoseconds> parse_time(std::string_view text);

/// The "Date" header of HTTP ("Thu, 26 Nov 2026 11:14:14 GMT"). @return since 1970
[[nodiscard]] std::optional<env::Nanoseconds> parse_http_date(const std::string& text);

/// At most 200 printable ASCII characters of what a server said.
[[nodiscard]] std::string clean_text(std::string_view text);

/// "bytes 3-9/5000".
struct ContentRange {
    std::uint64_t first = 0, last = 0, total = 0;
};
[[nodiscard]] std::optional<ContentRange> parse_content_range(std::string_view text);

/// The body of a refusal; all empty when it is none.
struct Refusal {
    std::string code;     // "NoSuchKey", …; letters and digits only
    std::string message;  // clean
    std::string region;   // where the bucket is, when that is the trouble
};
[[nodiscard]] Refusal parse_refusal(ByteView body);

struct ListPage {
    std::vector<ObjectInfo> objects;  // names without the prefix, in the order of the page
    std::string next;                 // continuation token; empty: this was the last page
};
/// Leaves out keys that are not below the prefix or no names of ours: somebody else's.
/// @errors io, id "s3.protocol": not a list, or one that does not go on as it says
[[nodiscard]] Result<ListPage> parse_list(ByteView body, const std::string& prefix);

/// Percent-encoding of a query's value; what RFC 3986 leaves as it is stays.
[[nodiscard]] std::string encoded(std::string_view value);

}  // namespace stillpoint::vault::s3
