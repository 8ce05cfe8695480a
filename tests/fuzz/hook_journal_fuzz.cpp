// The journal of hooks: as it lies on the disk, and as text whose checksum is right. What is
// accepted says the same when it is written again; what is not is damage, or a later version.
#include <cstdio>

#include "base/crc32c.hpp"
#include "fuzz.hpp"
#include "quiesce/hook_journal.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace quiesce;

void check(std::string_view text) {
    const auto journal = decode_hook_journal(text);
    if (!journal) {
        SP_CHECK(journal.error().id == "journal.damaged" ||
                 journal.error().id == "journal.version");
        return;
    }
    SP_CHECK(journal->version == hook_journal_version);
    const std::string again = encode_hook_journal(*journal);
    // Spaces are ours to add: a foreign spelling may become longer than what is read.
    if (again.size() <= hook_journal_bytes_max) SP_CHECK(decode_hook_journal(again) == *journal);
}

}  // namespace

void fuzz_one(ByteView input) {
    check(as_text(input));
    char hex[16];
    std::snprintf(hex, sizeof hex, "%08x", crc32c(input));
    check("stillpoint hook journal " + std::string(hex) + "\n" + std::string(as_text(input)));
}

}  // namespace stillpoint::fuzz
