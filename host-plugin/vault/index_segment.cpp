#include "vault/index_segment.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"
#include "vault/segment_stream.hpp"

namespace stillpoint::vault {
namespace {

/// Collects rows into pages; a page that is not full is padded with zeros.
class PageSealer {
public:
    PageSealer(Bytes& out, const chunk::SealKey& key, Bytes associated)
        : out_(out), key_(key), associated_(std::move(associated)) {}
    ByteWriter row(std::size_t bytes) {
        if (page_.size() + bytes > index_content_bytes) end_page();
        return ByteWriter{page_};
    }
    void end_page() {
        if (page_.empty()) return;
        seal_page();
    }
    void pad_to(std::uint64_t pages) {
        end_page();
        while (number_ < pages) seal_page();
    }

private:
    void seal_page() {
        page_.resize(index_content_bytes);
        out_.resize(out_.size() + index_page_bytes);
        key_.seal(number_++, associated_, page_, std::span{out_}.last(index_page_bytes));
        page_.clear();
    }

    Bytes& out_;
    const chunk::SealKey& key_;
    Bytes associated_, page_;
    std::uint64_t number_ = 0;
};

void write_fan_out(PageSealer& pages, const Segment& segment, const SegmentShape& shape) {
    std::size_t at = 0;
    for (std::uint64_t prefix = 0; prefix < shape.fans(); ++prefix) {
        while (at < segment.entries.size() &&
               prefix_of(segment.entries[at].key, shape.fan_bits()) <= prefix) {
            ++at;
        }
        pages.row(fan_row_bytes).u32(static_cast<std::uint32_t>(at));
    }
    pages.end_page();
}

Result<Segment> load(const VaultCore& core, const std::string& name, ByteCount size) {
    SP_ASSIGN(auto stream, SegmentStream::open(core, name, size));
    Segment segment;
    segment.packs.reserve(stream.shape().packs);
    segment.entries.reserve(stream.shape().entries);
    for (;;) {
        SP_ASSIGN(const auto pack, stream.next_pack());
        if (!pack) break;
        segment.packs.push_back(*pack);
    }
    for (;;) {
        SP_ASSIGN(const auto entry, stream.next_entry());
        if (!entry) return segment;
        segment.entries.push_back(*entry);
    }
}

}  // namespace

IndexKey index_key(const chunk::ChunkId& id) {
    IndexKey key;
    std::copy_n(id.value.begin(), key.size(), key.begin());
    return key;
}

std::string new_segment_name(const RandomSource& random) {
    return names::index + to_hex(random(16));
}

Bytes encode_segment(const VaultCore& core, const std::string& name, Segment segment) {
    const SegmentShape shape{static_cast<std::uint32_t>(segment.packs.size()),
                             segment.entries.size()};
    SP_CHECK(shape.packs <= index_packs_max && shape.entries <= index_entries_max);
    std::sort(segment.entries.begin(), segment.entries.end());
    const Salt salt = random_salt(core.random);
    Bytes out;
    out.reserve(object_header_bytes + shape.pages() * index_page_bytes);
    write_object_header(out, ObjectKind::index, salt);
    const chunk::SealKey key = core.keys.object_key(ObjectKind::index, salt);
    PageSealer pages{out, key,
                     associated_data(core.keys.vault_id(), ObjectKind::index, as_bytes(name))};
    pages.row(12).u64(shape.entries).u32(shape.packs);
    pages.end_page();
    for (const SegmentPack& pack : segment.packs) {
        pages.row(pack_row_bytes)
            .raw(pack.name.value)
            .u32(pack.pack_bytes)
            .u32(pack.records)
            .u64(static_cast<std::uint64_t>(pack.content));
    }
    pages.end_page();
    write_fan_out(pages, segment, shape);
    for (const SegmentEntry& entry : segment.entries) {
        pages.row(entry_row_bytes).raw(entry.key).u16(entry.slot).u32(entry.pack);
    }
    pages.pad_to(shape.pages());
    SP_CHECK(out.size() == object_header_bytes + shape.pages() * index_page_bytes);
    return out;
}

Result<Segment> load_segment(const VaultCore& core, const std::string& name,
                             ByteCount object_bytes) {
    auto segment = load(core, name, object_bytes);
    if (!segment) return fail(segment_error(name, segment.error()));
    return segment;
}

Result<Segment> load_segment(const VaultCore& core, const std::string& name) {
    SP_ASSIGN(const ByteCount size, core.store.size(name));
    return load_segment(core, name, size);
}

}  // namespace stillpoint::vault
