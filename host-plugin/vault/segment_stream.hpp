#pragma once
#include <optional>
#include <vector>

#include "vault/segment_pages.hpp"

namespace stillpoint::vault {

/// Reads one segment from its beginning to its end, page by page, and proves on the way all that
/// lookups rely on: seals, order, a fan-out table that tells the truth, entries that name records.
/// Memory: the pages of one read, 2 bytes a pack, the fan-out table (at most 4 MiB).
/// @threads one at a time
class SegmentStream {
public:
    static constexpr std::uint64_t pages_per_read_default = 256;  // 1 MiB

    /// @errors as SegmentPages::open
    static Result<SegmentStream> open(const VaultCore& core, const std::string& name,
                                      ByteCount object_bytes,
                                      std::uint64_t pages_per_read = pages_per_read_default);
    [[nodiscard]] const SegmentShape& shape() const { return pages_.shape(); }

    /// The next row of the pack table; empty after the last one.
    /// @errors corrupt, id "vault.index_damaged" · not_found · io
    Result<std::optional<SegmentPack>> next_pack();
    /// The next entry, empty after the last one. Only after next_pack() was empty.
    /// @errors as next_pack()
    Result<std::optional<SegmentEntry>> next_entry();
    /// Reads the pages behind the entries: they hold zeros. @errors as next_pack()
    [[nodiscard]] Status prove_padding() const;

private:
    explicit SegmentStream(SegmentPages pages) : pages_(std::move(pages)) {}
    /// The next row of `row_bytes`, of which a page holds `per_page`.
    Result<ByteView> row(std::size_t row_bytes, std::size_t per_page);
    Result<ByteView> page();
    Status read_fans();
    Status prove(const SegmentEntry& entry);
    Status prove_fans_up_to(std::uint64_t prefix);

    SegmentPages pages_;
    std::uint64_t pages_per_read_ = pages_per_read_default;
    std::uint64_t next_page_ = 1;  // to read from the store
    Bytes read_;
    std::size_t at_ = 0;   // of the page that is read, in read_
    std::size_t row_ = 0;  // of that page; 0: take the next page
    std::uint64_t packs_done_ = 0, entries_done_ = 0, fans_done_ = 0;
    std::vector<std::uint16_t> records_;  // of each pack
    std::vector<std::uint32_t> fans_;
    std::optional<SegmentEntry> before_;
};

/// Reads a whole segment only to prove it. @errors as SegmentStream
[[nodiscard]] Status prove_segment(const VaultCore& core, const std::string& name,
                                   ByteCount object_bytes);

}  // namespace stillpoint::vault
