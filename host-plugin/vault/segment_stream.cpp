#include "vault/segment_stream.hpp"

#include "chunk/zero.hpp"

namespace stillpoint::vault {

static_assert(pack_records_max <= 0xffff);

Result<SegmentStream> SegmentStream::open(const VaultCore& core, const std::string& name,
                                          ByteCount object_bytes, std::uint64_t pages_per_read) {
    const ByteCount one_read{pages_per_read * index_page_bytes};
    SP_ASSIGN(SegmentPages pages, SegmentPages::open(core, name, object_bytes, one_read));
    SegmentStream stream{std::move(pages)};
    stream.pages_per_read_ = pages_per_read;
    return stream;
}

Result<ByteView> SegmentStream::page() {
    if (at_ + index_content_bytes >= read_.size()) {
        const std::uint64_t left = pages_.shape().pages() - next_page_;
        const std::uint64_t count = std::min(left, pages_per_read_);
        SP_ASSIGN(read_, pages_.read(next_page_, count));
        next_page_ += count;
        at_ = 0;
    } else {
        at_ += index_content_bytes;
    }
    return ByteView{read_}.subspan(at_, index_content_bytes);
}

Result<ByteView> SegmentStream::row(std::size_t row_bytes, std::size_t per_page) {
    if (row_ == 0) SP_TRY(page());
    const ByteView row = ByteView{read_}.subspan(at_ + row_ * row_bytes, row_bytes);
    row_ = (row_ + 1) % per_page;
    return row;
}

Result<std::optional<SegmentPack>> SegmentStream::next_pack() {
    if (packs_done_ == shape().packs) {
        if (fans_.empty() && shape().fans() > 0) SP_TRY(read_fans());
        row_ = 0;  // each group begins with a page of its own
        return std::nullopt;
    }
    SP_ASSIGN(const ByteView bytes, row(pack_row_bytes, packs_per_page));
    ByteReader reader{bytes};
    const auto pack = read_pack_row(reader);
    if (!pack) return fail(segment_error(pages_.name(), pack.error()));
    ++packs_done_;
    records_.push_back(static_cast<std::uint16_t>(pack->records));
    return std::optional{*pack};
}

Status SegmentStream::read_fans() {
    row_ = 0;
    fans_.reserve(shape().fans());
    while (fans_.size() < shape().fans()) {
        SP_ASSIGN(const ByteView bytes, row(fan_row_bytes, fans_per_page));
        ByteReader reader{bytes};
        SP_ASSIGN(const std::uint32_t entries, reader.u32());
        fans_.push_back(entries);
    }
    return {};
}

/// Entries before the current one have prefixes of at most `prefix - 1`: so the table must say.
Status SegmentStream::prove_fans_up_to(std::uint64_t prefix) {
    for (; fans_done_ < prefix; ++fans_done_) {
        if (fans_[fans_done_] != entries_done_) {
            return pages_.damaged("has a fan-out table that does not fit its entries");
        }
    }
    return {};
}

Status SegmentStream::prove(const SegmentEntry& entry) {
    if (entry.pack >= records_.size() || entry.slot >= records_[entry.pack]) {
        return pages_.damaged("has an entry that names no record");
    }
    if (before_ && entry < *before_) return pages_.damaged("is not sorted");
    if (!fans_.empty()) SP_TRY(prove_fans_up_to(prefix_of(entry.key, shape().fan_bits())));
    return {};
}

Result<std::optional<SegmentEntry>> SegmentStream::next_entry() {
    if (entries_done_ == shape().entries) {
        SP_TRY(prove_fans_up_to(fans_.size()));
        return std::nullopt;
    }
    SP_ASSIGN(const ByteView bytes, row(entry_row_bytes, entries_per_page));
    ByteReader reader{bytes};
    SP_ASSIGN(const SegmentEntry entry, read_entry_row(reader));
    SP_TRY(prove(entry));
    ++entries_done_;
    before_ = entry;
    return std::optional{entry};
}

Status SegmentStream::prove_padding() const {
    std::uint64_t page = shape().padding_page();
    while (page < shape().pages()) {
        const std::uint64_t count = std::min(shape().pages() - page, pages_per_read_);
        SP_ASSIGN(const Bytes zeros, pages_.read(page, count));
        if (!chunk::is_zero(zeros)) return pages_.damaged("has padding that is not zeros");
        page += count;
    }
    return {};
}

Status prove_segment(const VaultCore& core, const std::string& name, ByteCount object_bytes) {
    SP_ASSIGN(auto stream, SegmentStream::open(core, name, object_bytes));
    for (;;) {
        SP_ASSIGN(const auto pack, stream.next_pack());
        if (!pack) break;
    }
    for (;;) {
        SP_ASSIGN(const auto entry, stream.next_entry());
        if (!entry) return stream.prove_padding();
    }
}

}  // namespace stillpoint::vault
