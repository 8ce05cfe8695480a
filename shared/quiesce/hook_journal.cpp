#include "quiesce/hook_journal.hpp"

#include <cstdio>

#include "base/crc32c.hpp"
#include "serialization/fields.hpp"

namespace stillpoint::quiesce {
namespace {

constexpr std::string_view magic = "stillpoint hook journal ";

std::string checksum_line(std::string_view body) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "%08x", crc32c(as_bytes(body)));
    return std::string(magic) + hex + "\n";
}

tl::unexpected<Error> damaged(const std::string& why) {
    return fail(Errc::corrupt, "journal.damaged", "the journal of hooks is damaged: " + why,
                "look whether an application is still held still; the file is kept beside it");
}

}  // namespace

std::string encode_hook_journal(const HookJournal& journal) {
    const std::string body =
        to_json(serialization::to_value(journal), serialization::JsonStyle::indented) + "\n";
    return checksum_line(body) + body;
}

Result<HookJournal> decode_hook_journal(std::string_view text) {
    const std::size_t end = text.find('\n');
    if (text.size() > hook_journal_bytes_max || end == std::string_view::npos) {
        return damaged("it has no first line");
    }
    const std::string_view body = text.substr(end + 1);
    if (text.substr(0, end + 1) != checksum_line(body)) return damaged("its checksum is wrong");
    const auto value = serialization::parse_json(body);
    if (!value) return damaged(value.error().text);
    // Looked at before anything else: a later version may mean other things by the same names.
    const std::int64_t version = value->integer_or("version", 0);
    if (version != hook_journal_version) {
        return fail(Errc::unsupported, "journal.version",
                    "the journal of hooks has version " + std::to_string(version) +
                        ", this program knows " + std::to_string(hook_journal_version),
                    "look whether an application is still held still, then remove the file");
    }
    auto journal = serialization::from_value<HookJournal>(*value, "journal");
    if (!journal) return damaged(journal.error().text);
    return journal;
}

}  // namespace stillpoint::quiesce
