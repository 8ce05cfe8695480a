#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "vault/index_memory.hpp"
#include "vault/key_filter.hpp"
#include "vault/segment_pages.hpp"

namespace stillpoint::vault {

/// Looks up in a segment that stays in the store: a page of the fan-out table and one page of
/// entries are read, and a page of the pack table where an entry is found. Once it was asked in
/// vain often enough to pay for it, it reads all entries once and keeps a filter of them, if there
/// is room for one.
/// @threads any, concurrently
class SegmentReader {
public:
    /// Reads the header, the summary, and the first and the last page of entries.
    /// @param core outlives this
    /// @errors as SegmentPages::open
    static Result<std::shared_ptr<SegmentReader>> open(const VaultCore& core,
                                                       const std::string& name,
                                                       ByteCount object_bytes,
                                                       std::shared_ptr<IndexMemory> memory);
    ~SegmentReader();
    SegmentReader(const SegmentReader&) = delete;
    SegmentReader& operator=(const SegmentReader&) = delete;

    /// Appends all places of the key; none is a proof that the segment has none.
    /// @errors corrupt, id "vault.index_damaged" (a page that the answer depends on) · not_found:
    ///         gc merged the segment meanwhile · io
    Status find(const IndexKey& key, std::vector<IndexHit>& hits);
    /// Calls for each row of the pack table. @errors as find()
    Status for_packs(const std::function<void(const SegmentPack&)>& take) const;
    /// Makes the filter from entries that are at hand, if there is room for it.
    void filter_from(const std::vector<SegmentEntry>& entries);

    [[nodiscard]] std::uint64_t entries() const { return pages_.shape().entries; }
    [[nodiscard]] const std::string& name() const { return pages_.name(); }
    /// False: the key is certainly not here. Reads nothing.
    [[nodiscard]] bool may_hold(const IndexKey& key) const;
    [[nodiscard]] bool has_filter() const { return filter_ready_.load() != nullptr; }

private:
    using Page = std::shared_ptr<const IndexPage>;
    /// Positions [from, to) among the entries.
    struct Range {
        std::uint64_t from = 0, to = 0;
    };
    SegmentReader(SegmentPages pages, std::shared_ptr<IndexMemory> memory);
    Status read_bounds();
    [[nodiscard]] Result<Page> page(std::uint64_t number) const;
    [[nodiscard]] Result<std::uint32_t> fan(std::uint64_t prefix) const;
    [[nodiscard]] Result<Range> range_of(const IndexKey& key) const;
    [[nodiscard]] Result<SegmentEntry> entry_at(std::uint64_t position) const;
    /// The first position of the range whose key is not less than this one; else its end.
    [[nodiscard]] Result<std::uint64_t> lower_bound(const IndexKey& key, Range range) const;
    [[nodiscard]] Result<IndexHit> hit_of(const SegmentEntry& entry) const;
    void asked_in_vain();
    [[nodiscard]] Result<std::unique_ptr<KeyFilter>> read_filter() const;
    void publish(std::unique_ptr<KeyFilter> filter);

    SegmentPages pages_;
    std::shared_ptr<IndexMemory> memory_;
    std::uint32_t number_;       // of this segment in the page cache
    IndexKey first_{}, last_{};  // keys; of no meaning where there are no entries
    std::atomic<std::uint64_t> in_vain_{0};
    std::atomic<bool> filter_begun_{false};
    std::unique_ptr<const KeyFilter> filter_;  // set once, before filter_ready_
    std::atomic<const KeyFilter*> filter_ready_{nullptr};
};

}  // namespace stillpoint::vault
