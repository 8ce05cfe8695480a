#include "vault/s3/answer.hpp"

#include <tinyxml2.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>

#include "vault/object_names.hpp"

namespace stillpoint::vault::s3 {
namespace {

constexpr std::size_t text_chars_max = 200;

std::string text_of(const tinyxml2::XMLElement* parent, const char* name) {
    const auto* element = parent == nullptr ? nullptr : parent->FirstChildElement(name);
    const char* text = element == nullptr ? nullptr : element->GetText();
    return text == nullptr ? std::string{} : std::string{text};
}

/// @return the outermost element if it has this name
const tinyxml2::XMLElement* parse(tinyxml2::XMLDocument& document, ByteView body,
                                  const char* name) {
    const std::string_view text = as_text(body);
    if (document.Parse(text.data(), text.size()) != tinyxml2::XML_SUCCESS) return nullptr;
    const auto* root = document.RootElement();
    return root != nullptr && std::strcmp(root->Name(), name) == 0 ? root : nullptr;
}

bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::string word(std::string text, std::string_view also = {}) {
    std::erase_if(text,
                  [&](char c) { return !is_word(c) && also.find(c) == std::string_view::npos; });
    return clean_text(text);
}

std::optional<env::Nanoseconds> since_epoch(const char* text, const char* format,
                                            const char** end) {
    std::tm parts{};
    *end = ::strptime(text, format, &parts);
    if (*end == nullptr) return std::nullopt;
    return std::chrono::seconds{::timegm(&parts)};
}

tl::unexpected<Error> no_list(const std::string& what) {
    return fail(Errc::io, "s3.protocol", "the store's list " + what,
                "see that the endpoint speaks S3 (ListObjectsV2)");
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<env::Nanoseconds> parse_time(std::string_view text) {
    const std::string copy{text};
    const char* rest = nullptr;
    const auto seconds = since_epoch(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &rest);
    if (!seconds) return std::nullopt;
    const std::string_view tail{rest};  // a fraction, and Z or +00:00
    const bool utc = tail.ends_with("Z") || tail.ends_with("+00:00");
    return utc ? seconds : std::nullopt;
}

std::optional<env::Nanoseconds> parse_http_date(const std::string& text) {
    const char* rest = nullptr;
    const auto seconds = since_epoch(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &rest);
    return seconds && *rest == '\0' ? seconds : std::nullopt;
}

std::string clean_text(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, text_chars_max)) {
        out += c >= ' ' && c < 0x7f ? c : ' ';
    }
    return out;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
    constexpr std::string_view unit = "bytes ";
    if (!text.starts_with(unit)) return std::nullopt;
    text.remove_prefix(unit.size());
    const std::size_t dash = text.find('-'), slash = text.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
        return std::nullopt;
    }
    const auto first = parse_number(text.substr(0, dash));
    const auto last = parse_number(text.substr(dash + 1, slash - dash - 1));
    const auto total = parse_number(text.substr(slash + 1));
    if (!first || !last || !total || *first > *last || *last >= *total) return std::nullopt;
    return ContentRange{*first, *last, *total};
}

Refusal parse_refusal(ByteView body) {
    tinyxml2::XMLDocument document;
    const auto* root = parse(document, body, "Error");
    return {.code = word(text_of(root, "Code")),
            .message = clean_text(text_of(root, "Message")),
            .region = word(text_of(root, "Region"), "-")};
}

Result<ListPage> parse_list(ByteView body, const std::string& prefix) {
    tinyxml2::XMLDocument document;
    const auto* root = parse(document, body, "ListBucketResult");
    if (root == nullptr) return no_list("is not one");
    ListPage page;
    for (const auto* item = root->FirstChildElement("Contents"); item != nullptr;
         item = item->NextSiblingElement("Contents")) {
        const std::string key = text_of(item, "Key");
        const auto size = parse_number(text_of(item, "Size"));
        if (!size) return no_list("gives an object no size");
        if (!key.starts_with(prefix) || !names::check(key.substr(prefix.size()))) continue;
        const auto modified = parse_time(text_of(item, "LastModified"));
        const auto ns = modified.value_or(env::Nanoseconds::zero()).count();
        page.objects.push_back({key.substr(prefix.size()), ByteCount{*size},
                                static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0))});
    }
    const std::string more = text_of(root, "IsTruncated");
    page.next = text_of(root, "NextContinuationToken");
    // Half a list would be taken for the whole: then a reachable pack may look unreachable.
    if (more != "true" && more != "false") return no_list("does not say whether it is complete");
    if ((more == "true") == page.next.empty()) return no_list("does not say how it goes on");
    return page;
}

std::string encoded(std::string_view value) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : value) {
        if (is_word(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += digits[byte >> 4u];
        out += digits[byte & 15u];
    }
    return out;
}

}  // namespace stillpoint::vault::s3
