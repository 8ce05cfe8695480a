#include "quiesce/hook_journal.hpp"

#include <doctest/doctest.h>

#include "base/crc32c.hpp"

using namespace stillpoint;
using namespace stillpoint::quiesce;

namespace {

const HookJournal sample{
    hook_journal_version, "4f1c…", "job", {{"10-a", HookStep::held}, {"20-b", HookStep::pre}}};

std::string with_checksum(const std::string& body) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "%08x", crc32c(as_bytes(body)));
    return std::string("stillpoint hook journal ") + hex + "\n" + body;
}

}  // namespace

TEST_CASE("quiesce/journal: what is written is read") {
    CHECK(decode_hook_journal(encode_hook_journal(sample)) == sample);
    CHECK(decode_hook_journal(encode_hook_journal({})) == HookJournal{});
}

TEST_CASE("quiesce/journal: any changed, missing or added byte is damage") {
    const std::string good = encode_hook_journal(sample);
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string changed = good;
        changed[i] = static_cast<char>(changed[i] ^ 0x20);
        const auto read = decode_hook_journal(changed);
        REQUIRE(!read);
        CHECK(read.error().id == "journal.damaged");
        CHECK(!decode_hook_journal(good.substr(0, i)));
    }
    CHECK(!decode_hook_journal(good + " "));
    CHECK(!decode_hook_journal(std::string(hook_journal_bytes_max + 1, 'x')));
}

TEST_CASE("quiesce/journal: another version and odd documents are refused") {
    CHECK(decode_hook_journal(with_checksum("{\"version\":2}")).error().id == "journal.version");
    CHECK(decode_hook_journal(with_checksum("[]")).error().id == "journal.version");
    CHECK(decode_hook_journal(with_checksum("{")).error().id == "journal.damaged");
    CHECK(decode_hook_journal(with_checksum("{\"version\":1,\"hooks\":[{\"step\":\"x\"}]}"))
              .error()
              .id == "journal.damaged");
}
