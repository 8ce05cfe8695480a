#include "vault/segment_reader.hpp"

#include <cstring>

#include "base/check.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::uint64_t pages_per_read = 256;  // 1 MiB, where many are read one after the other
// A filter is made once four lookups found nothing for each such read that making it takes: where
// a read is a round trip through a network it pays at once, where a page costs microseconds soon.
constexpr std::uint64_t vain_lookups_per_read = 4;

ByteView row_of(const IndexPage& page, std::uint64_t row, std::size_t row_bytes) {
    return ByteView{page}.subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes);
}

/// Of several pages, back to back.
ByteView row_of(ByteView pages, std::uint64_t row, std::size_t per_page, std::size_t row_bytes) {
    return pages.subspan(row / per_page * index_content_bytes + row % per_page * row_bytes,
                         row_bytes);
}

/// Where in a range of sorted random keys one should be, from the 32 bits behind its prefix.
template <class Range>
std::uint64_t guess(const IndexKey& key, unsigned prefix_bits, const Range& range) {
    std::uint64_t head = 0;
    for (std::size_t i = 0; i < 8; ++i) head = head << 8 | std::to_integer<std::uint64_t>(key[i]);
    const std::uint64_t fraction = (head << prefix_bits) >> 32;
    return range.from + ((range.to - range.from) * fraction >> 32);  // below 2^32: no overflow
}

/// The first position of the range, which lies in one page, whose key is not less; else its end.
template <class Range>
std::uint64_t lower_bound_in(const IndexPage& rows, const IndexKey& key, Range range) {
    while (range.from < range.to) {
        const std::uint64_t middle = range.from + (range.to - range.from) / 2;
        const ByteView row = row_of(rows, middle % entries_per_page, entry_row_bytes);
        const bool less = std::memcmp(row.data(), key.data(), key.size()) < 0;
        (less ? range.from : range.to) = less ? middle + 1 : middle;
    }
    return range.from;
}

}  // namespace

SegmentReader::SegmentReader(SegmentPages pages, std::shared_ptr<IndexMemory> memory)
    : pages_(std::move(pages)), memory_(std::move(memory)), number_(memory_->pages.new_segment()) {}

SegmentReader::~SegmentReader() {
    if (filter_) memory_->give_filter(KeyFilter::bytes_for(entries()));
}

Result<std::shared_ptr<SegmentReader>> SegmentReader::open(const VaultCore& core,
                                                           const std::string& name,
                                                           ByteCount object_bytes,
                                                           std::shared_ptr<IndexMemory> memory) {
    SP_ASSIGN(SegmentPages pages, SegmentPages::open(core, name, object_bytes));
    // NOLINTNEXTLINE: private
    std::shared_ptr<SegmentReader> made{new SegmentReader{std::move(pages), std::move(memory)}};
    SP_TRY(made->read_bounds());
    return made;
}

Status SegmentReader::read_bounds() {
    if (entries() == 0) return {};
    SP_ASSIGN(const SegmentEntry first, entry_at(0));
    SP_ASSIGN(const SegmentEntry last, entry_at(entries() - 1));
    first_ = first.key;
    last_ = last.key;
    return {};
}

Result<SegmentReader::Page> SegmentReader::page(std::uint64_t number) const {
    const auto in_cache = static_cast<std::uint32_t>(number);  // 2^32 entries have 2^24 pages
    if (Page known = memory_->pages.find(number_, in_cache)) return known;
    SP_ASSIGN(const Bytes content, pages_.read(number, 1));
    const auto fresh = std::make_shared<IndexPage>();
    std::copy(content.begin(), content.end(), fresh->begin());
    memory_->pages.keep(number_, in_cache, fresh);
    return Page{fresh};
}

Result<std::uint32_t> SegmentReader::fan(std::uint64_t prefix) const {
    SP_ASSIGN(const Page fans, page(pages_.shape().fans_page() + prefix / fans_per_page));
    ByteReader reader{row_of(*fans, prefix % fans_per_page, fan_row_bytes)};
    return reader.u32();
}

Result<SegmentReader::Range> SegmentReader::range_of(const IndexKey& key) const {
    const SegmentShape& shape = pages_.shape();
    Range range{0, shape.entries};
    if (shape.fans() == 0) return range;
    const std::uint64_t prefix = prefix_of(key, shape.fan_bits());
    SP_ASSIGN(range.to, fan(prefix));
    if (prefix > 0) {
        SP_ASSIGN(range.from, fan(prefix - 1));
    }
    if (range.from > range.to || range.to > shape.entries) {
        return pages_.damaged("has an impossible fan-out table");
    }
    return range;
}

Result<SegmentEntry> SegmentReader::entry_at(std::uint64_t position) const {
    SP_ASSIGN(const Page found, page(pages_.shape().entries_page() + position / entries_per_page));
    ByteReader reader{row_of(*found, position % entries_per_page, entry_row_bytes)};
    return read_entry_row(reader);
}

/// The first guess is nearly always in the right page, and a wrong one is next to it; after two
/// neighbours each further page halves what is left, so that keys that are not random cost more
/// pages but are found, too. Always: entries before `from` are less than the key, those at `to` and
/// behind it are not.
Result<std::uint64_t> SegmentReader::lower_bound(const IndexKey& key, Range range) const {
    std::uint64_t at = guess(key, pages_.shape().fan_bits(), range);
    for (unsigned tries = 0; range.from < range.to; ++tries) {
        const std::uint64_t page_from = at - at % entries_per_page;
        const Range here{std::max(range.from, page_from),
                         std::min(range.to, page_from + entries_per_page)};
        SP_ASSIGN(const Page rows, page(pages_.shape().entries_page() + at / entries_per_page));
        const std::uint64_t found = lower_bound_in(*rows, key, here);
        if (found == here.to) {
            range.from = here.to;
        } else if (found == here.from && here.from > range.from) {
            range.to = here.from;
        } else {
            return found;
        }
        const std::uint64_t neighbour = found == here.to ? range.from : range.to - 1;
        at = tries < 2 ? neighbour : range.from + (range.to - range.from) / 2;
    }
    return range.from;
}

Result<IndexHit> SegmentReader::hit_of(const SegmentEntry& entry) const {
    if (entry.pack >= pages_.shape().packs)
        return pages_.damaged("has an entry that names no pack");
    SP_ASSIGN(const Page packs, page(SegmentShape::packs_page() + entry.pack / packs_per_page));
    ByteReader reader{row_of(*packs, entry.pack % packs_per_page, pack_row_bytes)};
    const auto pack = read_pack_row(reader);
    if (!pack) return fail(segment_error(name(), pack.error()));
    if (entry.slot >= pack->records) return pages_.damaged("has an entry that names no record");
    return IndexHit{pack->name, entry.slot, false};
}

bool SegmentReader::may_hold(const IndexKey& key) const {
    if (entries() == 0 || key < first_ || key > last_) return false;
    const KeyFilter* filter = filter_ready_.load(std::memory_order_acquire);
    return filter == nullptr || filter->may_hold(key);
}

Status SegmentReader::find(const IndexKey& key, std::vector<IndexHit>& hits) {
    if (!may_hold(key)) return {};
    SP_ASSIGN(const Range range, range_of(key));
    SP_ASSIGN(std::uint64_t at, lower_bound(key, range));
    const std::size_t before = hits.size();
    for (; at < range.to; ++at) {
        SP_ASSIGN(const SegmentEntry entry, entry_at(at));
        if (entry.key != key) break;
        SP_ASSIGN(const IndexHit hit, hit_of(entry));
        hits.push_back(hit);
    }
    if (hits.size() == before) asked_in_vain();
    return {};
}

Status SegmentReader::for_packs(const std::function<void(const SegmentPack&)>& take) const {
    const SegmentShape& shape = pages_.shape();
    for (std::uint64_t done = 0; done < shape.packs;) {
        const std::uint64_t left = pages_for(shape.packs - done, packs_per_page);
        const std::uint64_t count = std::min(left, pages_per_read);
        SP_ASSIGN(const Bytes content,
                  pages_.read(SegmentShape::packs_page() + done / packs_per_page, count));
        const std::uint64_t end =
            std::min(done + count * packs_per_page, std::uint64_t{shape.packs});
        for (std::uint64_t i = 0; done < end; ++i, ++done) {
            ByteReader reader{row_of(content, i, packs_per_page, pack_row_bytes)};
            const auto pack = read_pack_row(reader);
            if (!pack) return fail(segment_error(name(), pack.error()));
            take(*pack);
        }
    }
    return {};
}

/// A filter that cannot be had is no error: lookups go on reading pages, and say what is damaged.
void SegmentReader::asked_in_vain() {
    const std::uint64_t reads = pages_for(pages_for(entries(), entries_per_page), pages_per_read);
    if (++in_vain_ < reads * vain_lookups_per_read) return;
    if (filter_begun_.exchange(true) || !memory_->take_filter(KeyFilter::bytes_for(entries()))) {
        return;
    }
    auto filter = read_filter();
    if (!filter) {
        memory_->give_filter(KeyFilter::bytes_for(entries()));
        return;
    }
    publish(std::move(*filter));
}

Result<std::unique_ptr<KeyFilter>> SegmentReader::read_filter() const {
    auto filter = std::make_unique<KeyFilter>(entries());
    for (std::uint64_t done = 0; done < entries();) {
        const std::uint64_t left = pages_for(entries() - done, entries_per_page);
        const std::uint64_t count = std::min(left, pages_per_read);
        SP_ASSIGN(const Bytes content,
                  pages_.read(pages_.shape().entries_page() + done / entries_per_page, count));
        const std::uint64_t end = std::min(done + count * entries_per_page, entries());
        for (std::uint64_t i = 0; done < end; ++i, ++done) {
            ByteReader reader{row_of(content, i, entries_per_page, entry_row_bytes)};
            SP_ASSIGN(const SegmentEntry entry, read_entry_row(reader));
            filter->add(entry.key);
        }
    }
    return filter;
}

void SegmentReader::filter_from(const std::vector<SegmentEntry>& entries) {
    SP_CHECK(entries.size() == this->entries());
    if (filter_begun_.exchange(true) ||
        !memory_->take_filter(KeyFilter::bytes_for(entries.size()))) {
        return;
    }
    auto filter = std::make_unique<KeyFilter>(entries.size());
    for (const SegmentEntry& entry : entries) filter->add(entry.key);
    publish(std::move(filter));
}

void SegmentReader::publish(std::unique_ptr<KeyFilter> filter) {
    filter_ = std::move(filter);
    filter_ready_.store(filter_.get(), std::memory_order_release);
}

}  // namespace stillpoint::vault
