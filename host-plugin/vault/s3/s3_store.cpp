#include "vault/s3/s3_store.hpp"

#include <algorithm>

#include "vault/object_names.hpp"

namespace stillpoint::vault::s3 {
namespace {

// What one PUT may carry in any S3. Packs have 64 MiB at most, an index of this size would not fit
// into memory: parts are not needed.
constexpr std::uint64_t object_bytes_max = 5ull << 30;
constexpr std::uint64_t page_bytes_max = 4u << 20;  // 1000 keys of 1 KiB, with all around them
constexpr unsigned pages_max = 1'000'000;           // a thousand million objects
constexpr ByteCount nothing{0};
constexpr const char* mark_header = "x-amz-meta-stillpoint-put";

tl::unexpected<Error> missing(const std::string& name) {
    return fail(Errc::not_found, "store.missing", "no object " + name);
}

tl::unexpected<Error> too_short(const std::string& name, std::optional<std::uint64_t> has) {
    const std::string bytes = has ? "only " + std::to_string(*has) : "fewer";
    return fail(Errc::corrupt, "store.short", "object " + name + " has " + bytes + " bytes");
}

tl::unexpected<Error> unexpected(const std::string& doing, const HttpAnswer& answer) {
    return fail(Errc::io, "s3.protocol",
                doing + ": an answer with status " + std::to_string(answer.status) +
                    " that does not fit the question",
                "see that the endpoint speaks S3, and what proxy is in between");
}

}  // namespace

Status S3Store::put(const std::string& name, ByteView bytes) {
    SP_TRY(names::check(name));
    if (bytes.size() > object_bytes_max) {
        return fail(Errc::unsupported, "s3.too_large",
                    "object " + name + " has more than 5 GiB: too much for one request");
    }
    // Tells our own object from another's when an answer got lost on its way.
    const std::string mark = env::random_hex(16);
    std::vector<std::string> headers = lock_.headers(name, bytes, clock_.wall());
    headers.insert(headers.end(), {"if-none-match: *", mark_header + (": " + mark)});
    const HttpRequest request{.method = "PUT",
                              .key = name,
                              .headers = std::move(headers),
                              .body = bytes,
                              .answer_max = ByteCount{page_bytes_max}};
    const auto answer = client_->call(request, "put " + name);
    if (!answer && answer.error().id == "s3.failed" && lock_.days > 0) {
        return fail(Errc::refused, "s3.no_lock",
                    answer.error().text + "; the put asked for a lock of " +
                        std::to_string(lock_.days) + " days",
                    "make the bucket with object lock, which cannot be added everywhere, or leave "
                    "lock= out");
    }
    if (!answer) return fail(answer.error());
    if (answer->said_yes()) return {};
    if (answer->status == 412) return settle_taken(name, mark);
    return unexpected("put " + name, *answer);
}

Status S3Store::settle_taken(const std::string& name, const std::string& mark) {
    SP_ASSIGN(const HttpAnswer there, head(name));
    if (there.said_yes() && there.header(mark_header) == mark) return {};
    return fail(Errc::busy, "store.exists", "object " + name + " exists");
}

Result<HttpAnswer> S3Store::head(const std::string& name) {
    auto answer =
        client_->call({.method = "HEAD", .key = name, .answer_max = nothing}, "look at " + name);
    const bool unsaid =
        !answer && (answer.error().id == "s3.denied" || answer.error().id == "s3.failed" ||
                    answer.error().id == "s3.redirect");
    if (!unsaid) return answer;
    const auto why = client_->call(
        {.method = "GET", .key = name, .headers = {"range: bytes=0-0"}, .answer_max = ByteCount{1}},
        "look at " + name);
    return why ? std::move(answer) : Result<HttpAnswer>{fail(why.error())};
}

Result<Bytes> S3Store::get(const std::string& name, ByteOffset at, ByteCount length) {
    SP_TRY(names::check(name));
    const auto end = end_of(Extent{at, length});
    if (length == nothing || !end) {
        SP_ASSIGN(const ByteCount have, size(name));
        if (!end || end->raw() > have.raw()) return too_short(name, have.raw());
        return Bytes{};
    }
    const std::string range = std::to_string(at.raw()) + "-" + std::to_string(end->raw() - 1);
    const std::string doing = "get " + name;
    SP_ASSIGN(HttpAnswer answer, client_->call({.method = "GET",
                                                .key = name,
                                                .headers = {"range: bytes=" + range},
                                                .answer_max = length},
                                               doing));
    if (answer.status == 404) return missing(name);
    if (answer.status == 416) return too_short(name, std::nullopt);
    const auto got = parse_content_range(answer.header("content-range"));
    if (answer.status != 206 || !got || got->first != at.raw()) return unexpected(doing, answer);
    if (got->total < end->raw()) return too_short(name, got->total);
    if (answer.body.size() != length.raw()) return unexpected(doing, answer);
    return std::move(answer.body);
}

/// @source RFC 9110, section 14.1.2: a suffix range that is longer than all is all
Result<ObjectEnd> S3Store::get_end(const std::string& name, ByteCount most) {
    SP_TRY(names::check(name));
    if (most == nothing) return BlockStore::get_end(name, most);  // no range says that
    const std::string doing = "get " + name;
    SP_ASSIGN(HttpAnswer answer,
              client_->call({.method = "GET",
                             .key = name,
                             .headers = {"range: bytes=-" + std::to_string(most.raw())},
                             .answer_max = most},
                            doing));
    if (answer.status == 404) return missing(name);
    if (answer.status == 416) return BlockStore::get_end(name, most);  // of an object without bytes
    const std::uint64_t got = answer.body.size();
    if (answer.status == 200) return ObjectEnd{std::move(answer.body), ByteCount{got}};
    const auto range = parse_content_range(answer.header("content-range"));
    if (answer.status != 206 || !range || range->total - range->first != got ||
        got != std::min(most.raw(), range->total)) {
        return unexpected(doing, answer);
    }
    return ObjectEnd{std::move(answer.body), ByteCount{range->total}};
}

Result<ByteCount> S3Store::size(const std::string& name) {
    SP_TRY(names::check(name));
    SP_ASSIGN(const HttpAnswer answer, head(name));
    if (answer.status == 404) return missing(name);
    const auto bytes = parse_number(answer.header("content-length"));
    if (!answer.said_yes() || !bytes) return unexpected("look at " + name, answer);
    return ByteCount{*bytes};
}

Result<std::vector<ObjectInfo>> S3Store::list(const std::string& prefix) {
    std::vector<ObjectInfo> found;
    const std::string doing = "list " + prefix;
    std::string token;
    for (unsigned page = 0; page < pages_max; ++page) {
        const std::string from =
            token.empty() ? std::string{} : "continuation-token=" + encoded(token) + "&";
        SP_ASSIGN(const HttpAnswer answer,
                  client_->call({.method = "GET",
                                 .query = from + "list-type=2&prefix=" + encoded(prefix_ + prefix),
                                 .answer_max = ByteCount{page_bytes_max}},
                                doing));
        if (!answer.said_yes()) return unexpected(doing, answer);
        SP_ASSIGN(ListPage next, parse_list(answer.body, prefix_));
        found.insert(found.end(), next.objects.begin(), next.objects.end());
        if (next.next.empty()) {
            std::sort(found.begin(), found.end(),
                      [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
            return found;
        }
        if (next.next == token) break;
        token = std::move(next.next);
    }
    return fail(Errc::io, "s3.protocol", doing + ": the store's list does not end");
}

Status S3Store::remove(const std::string& name) {
    SP_TRY(names::check(name));
    SP_ASSIGN(
        const HttpAnswer answer,
        client_->call({.method = "DELETE", .key = name, .answer_max = ByteCount{page_bytes_max}},
                      "remove " + name));
    if (answer.said_yes() || answer.status == 404) return {};
    return unexpected("remove " + name, answer);
}

}  // namespace stillpoint::vault::s3
