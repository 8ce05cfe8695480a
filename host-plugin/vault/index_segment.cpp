#include "vault/index_segment.hpp"

#include <algorithm>
#include <bit>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::size_t page_content_bytes = index_page_bytes - chunk::seal_overhead_bytes;
constexpr std::size_t pack_row_bytes = 48;
constexpr std::size_t entry_row_bytes = 16;
constexpr std::size_t fan_row_bytes = 4;
constexpr std::size_t packs_per_page = page_content_bytes / pack_row_bytes;     // 85
constexpr std::size_t entries_per_page = page_content_bytes / entry_row_bytes;  // 255
constexpr std::size_t fans_per_page = page_content_bytes / fan_row_bytes;       // 1020
constexpr unsigned fan_bits_max = 20;
constexpr std::size_t pages_per_read = 256;  // 1 MiB

std::uint64_t pages_for(std::uint64_t rows, std::size_t per_page) {
    return (rows + per_page - 1) / per_page;
}

/// Enough prefixes that one of them covers about one page of entries.
unsigned fan_bits_for(std::uint64_t entries) {
    const auto bits = static_cast<unsigned>(std::bit_width(pages_for(entries, entries_per_page)));
    return entries <= entries_per_page ? 0 : std::min(bits, fan_bits_max);
}

struct Shape {
    std::uint32_t packs = 0;
    std::uint64_t entries = 0;
    [[nodiscard]] unsigned fan_bits() const { return fan_bits_for(entries); }
    [[nodiscard]] std::uint64_t fans() const { return fan_bits() == 0 ? 0 : 1ull << fan_bits(); }
    [[nodiscard]] std::uint64_t pages() const {
        return 1 + pages_for(packs, packs_per_page) + pages_for(fans(), fans_per_page) +
               pages_for(entries, entries_per_page);
    }
};

std::uint32_t prefix_of(const IndexKey& key, unsigned bits) {
    std::uint32_t head = 0;
    for (std::size_t i = 0; i < 4; ++i) head = head << 8 | std::to_integer<std::uint32_t>(key[i]);
    return bits == 0 ? 0 : head >> (32 - bits);
}

/// Collects rows into pages; a page that is not full is padded with zeros.
class PageSealer {
public:
    PageSealer(Bytes& out, const chunk::SealKey& key, Bytes associated)
        : out_(out), key_(key), associated_(std::move(associated)) {}
    ByteWriter row(std::size_t bytes) {
        if (page_.size() + bytes > page_content_bytes) end_page();
        return ByteWriter{page_};
    }
    void end_page() {
        if (page_.empty()) return;
        page_.resize(page_content_bytes);
        out_.resize(out_.size() + index_page_bytes);
        key_.seal(number_++, associated_, page_, std::span{out_}.last(index_page_bytes));
        page_.clear();
    }

private:
    Bytes& out_;
    const chunk::SealKey& key_;
    Bytes associated_, page_;
    std::uint64_t number_ = 0;
};

void write_fan_out(PageSealer& pages, const Segment& segment, const Shape& shape) {
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

tl::unexpected<Error> damaged(const std::string& name, const std::string& text) {
    return fail(Errc::corrupt, "vault.index_damaged", name + " " + text);
}

/// Reads a segment's pages in order.
class PageReader {
public:
    PageReader(const VaultCore& core, const std::string& name, chunk::SealKey key)
        : core_(core),
          name_(name),
          key_(std::move(key)),
          associated_(associated_data(core.keys.vault_id(), ObjectKind::index, as_bytes(name))) {}

    void expect(std::uint64_t pages) { pages_ = pages; }
    /// The content of the next page; valid until the next call.
    Result<ByteView> next() {
        if (at_ == read_.size()) {
            SP_TRY(read_more());
        }
        const ByteView sealed = ByteView{read_}.subspan(at_, index_page_bytes);
        page_.resize(page_content_bytes);
        if (!key_.open(number_++, associated_, sealed, page_)) {
            return damaged(name_, "is damaged in page " + std::to_string(number_ - 1));
        }
        at_ += index_page_bytes;
        return ByteView{page_};
    }

private:
    Status read_more() {
        const std::uint64_t count = std::min<std::uint64_t>(pages_ - number_, pages_per_read);
        const ByteOffset from{object_header_bytes + number_ * index_page_bytes};
        SP_ASSIGN(read_, core_.store.get(name_, from, ByteCount{count * index_page_bytes}));
        at_ = 0;
        return {};
    }
    const VaultCore& core_;
    const std::string& name_;
    chunk::SealKey key_;
    Bytes associated_, read_, page_;
    std::size_t at_ = 0;
    std::uint64_t number_ = 0, pages_ = 1;
};

/// Calls `take(reader)` for each of `rows` rows laid out `per_page` to a page.
template <class Take>
Status for_rows(PageReader& pages, std::uint64_t rows, std::size_t per_page, Take&& take) {
    for (std::uint64_t done = 0; done < rows;) {
        SP_ASSIGN(const ByteView page, pages.next());
        ByteReader reader{page};
        for (std::size_t i = 0; i < per_page && done < rows; ++i, ++done) SP_TRY(take(reader));
    }
    return {};
}

template <std::size_t N>
Status read_array(ByteReader& reader, std::array<std::byte, N>& into) {
    SP_ASSIGN(const ByteView view, reader.take(N));
    std::copy(view.begin(), view.end(), into.begin());
    return {};
}

Result<SegmentPack> read_pack(ByteReader& reader) {
    SegmentPack pack;
    SP_TRY(read_array(reader, pack.name.value));
    SP_ASSIGN(pack.pack_bytes, reader.u32());
    SP_ASSIGN(pack.records, reader.u32());
    SP_ASSIGN(const std::uint64_t content, reader.u64());
    if (content > static_cast<std::uint64_t>(Content::map) || pack.records > pack_records_max) {
        return fail(Errc::corrupt, "vault.index_damaged", "impossible pack row");
    }
    pack.content = static_cast<Content>(content);
    return pack;
}

Result<SegmentEntry> read_entry(ByteReader& reader, const Segment& segment) {
    SegmentEntry entry;
    SP_TRY(read_array(reader, entry.key));
    SP_ASSIGN(entry.slot, reader.u16());
    SP_ASSIGN(entry.pack, reader.u32());
    if (entry.pack >= segment.packs.size() || entry.slot >= segment.packs[entry.pack].records) {
        return fail(Errc::corrupt, "vault.index_damaged", "an entry names no record");
    }
    return entry;
}

Result<Shape> read_shape(ByteView page) {
    ByteReader reader{page};
    Shape shape;
    SP_ASSIGN(shape.entries, reader.u64());
    SP_ASSIGN(shape.packs, reader.u32());
    return shape;
}

Status check_shape(const std::string& name, const Shape& shape, std::uint64_t object_bytes) {
    if (shape.entries > index_entries_max) {
        return fail(Errc::unsupported, "vault.index_full",
                    name + " has " + std::to_string(shape.entries) +
                        " chunks; this version holds at most " + std::to_string(index_entries_max),
                    "use a newer version of Stillpoint, or a second vault");
    }
    if (shape.packs > index_packs_max ||
        object_bytes != object_header_bytes + shape.pages() * index_page_bytes) {
        return damaged(name, "has not the length that it should have");
    }
    return {};
}

Result<Segment> read_rows(PageReader& pages, const Shape& shape) {
    Segment segment;
    segment.packs.reserve(shape.packs);
    segment.entries.reserve(shape.entries);
    SP_TRY(for_rows(pages, shape.packs, packs_per_page, [&](ByteReader& reader) -> Status {
        SP_ASSIGN(SegmentPack pack, read_pack(reader));
        segment.packs.push_back(pack);
        return {};
    }));
    // The fan-out table serves readers that look up without loading; here it is only authenticated.
    SP_TRY(for_rows(pages, shape.fans(), fans_per_page, [](ByteReader& reader) -> Status {
        SP_TRY(reader.u32());
        return {};
    }));
    SP_TRY(for_rows(pages, shape.entries, entries_per_page, [&](ByteReader& reader) -> Status {
        SP_ASSIGN(SegmentEntry entry, read_entry(reader, segment));
        segment.entries.push_back(entry);
        return {};
    }));
    return segment;
}

Result<Segment> load(const VaultCore& core, const std::string& name) {
    SP_ASSIGN(const ByteCount size, core.store.size(name));
    if (size.raw() < object_header_bytes + index_page_bytes) {
        return damaged(name, "is shorter than any segment");
    }
    SP_ASSIGN(const Bytes head,
              core.store.get(name, ByteOffset{0}, ByteCount{object_header_bytes}));
    SP_ASSIGN(const Salt salt, read_object_header(head, ObjectKind::index));
    PageReader pages{core, name, core.keys.object_key(ObjectKind::index, salt)};
    SP_ASSIGN(const ByteView summary, pages.next());
    SP_ASSIGN(const Shape shape, read_shape(summary));
    SP_TRY(check_shape(name, shape, size.raw()));
    pages.expect(shape.pages());
    SP_ASSIGN(Segment segment, read_rows(pages, shape));
    if (!std::is_sorted(segment.entries.begin(), segment.entries.end())) {
        return damaged(name, "is not sorted");
    }
    return segment;
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
    const Shape shape{static_cast<std::uint32_t>(segment.packs.size()), segment.entries.size()};
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
    pages.end_page();
    SP_CHECK(out.size() == object_header_bytes + shape.pages() * index_page_bytes);
    return out;
}

Result<Segment> load_segment(const VaultCore& core, const std::string& name) {
    auto segment = load(core, name);
    if (!segment && segment.error().code == Errc::corrupt) {
        return fail(Errc::corrupt, "vault.index_damaged", in_step(name, segment.error()).text);
    }
    return segment;
}

}  // namespace stillpoint::vault
