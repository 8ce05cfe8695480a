// An index segment whose pages somebody with the vault's key could have sealed: the input is the
// content of the pages, one after the other.
#include <algorithm>

#include "fuzz.hpp"
#include "vault/index_segment.hpp"
#include "vault/memory_store.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace vault;

class StoppedClock final : public env::Clock {
public:
    [[nodiscard]] env::Nanoseconds monotonic() const override { return {}; }
    [[nodiscard]] env::Nanoseconds wall() const override { return {}; }
};

Bytes zeros(std::size_t count) {
    return Bytes(count);
}

Bytes segment_object(const VaultCore& core, const std::string& name, ByteView content) {
    constexpr std::size_t page_content_bytes = index_page_bytes - chunk::seal_overhead_bytes;
    const chunk::SealKey key = core.keys.object_key(ObjectKind::index, Salt{});
    const Bytes associated =
        associated_data(core.keys.vault_id(), ObjectKind::index, as_bytes(name));
    Bytes out;
    write_object_header(out, ObjectKind::index, Salt{});
    for (std::uint64_t number = 0; !content.empty(); ++number) {
        Bytes page = to_bytes(content.first(std::min(content.size(), page_content_bytes)));
        content = content.subspan(page.size());
        page.resize(page_content_bytes);
        out.resize(out.size() + index_page_bytes);
        key.seal(number, associated, page, std::span{out}.last(index_page_bytes));
    }
    return out;
}

}  // namespace

void fuzz_one(ByteView input) {
    MemoryStore store;
    const StoppedClock clock;
    const VaultCore core{store, DecodedConfig{}, chunk::SecretKey{}, clock, zeros};
    SP_CHECK(store.put("index/raw", input).has_value());
    SP_CHECK(!load_segment(core, "index/raw") || input.empty());
    SP_CHECK(store.put("index/a", segment_object(core, "index/a", input)).has_value());
    const auto segment = load_segment(core, "index/a");
    if (!segment) return;
    SP_CHECK(std::is_sorted(segment->entries.begin(), segment->entries.end()));
    for (const SegmentEntry& entry : segment->entries) {
        SP_CHECK(entry.pack < segment->packs.size());
        SP_CHECK(entry.slot < segment->packs[entry.pack].records);
    }
}

}  // namespace stillpoint::fuzz
