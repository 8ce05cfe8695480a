#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "vault/block_store.hpp"
#include "vault/chunk_index.hpp"
#include "vault/segment_reader.hpp"

namespace stillpoint::vault {

/// What a lookup found, and what kept it from looking everywhere.
struct IndexAnswer {
    std::vector<IndexHit> hits;    // those of packs not condemned first
    std::optional<Error> trouble;  // a segment that could not be asked: absence is not proven
};

/// Where chunks are, by all segments of a vault, in memory of a bounded size: small segments are
/// held whole, smallest first, while there is room (a vault of 128 GiB has all of them there); the
/// others stay in the store and are asked page by page.
/// @threads any, concurrently; load and add_own: one at a time, and not beside fetch
class VaultIndex {
public:
    /// @param core outlives this; its index_limits say how much memory there is
    explicit VaultIndex(const VaultCore& core);

    /// An index that has nothing yet and shares memory, and the segments in the store of which it
    /// is told, with this one: for what swap() is to put in its place.
    [[nodiscard]] std::unique_ptr<VaultIndex> successor() const;
    /// Takes over the content of another that nobody else uses yet.
    void swap(VaultIndex& fresh);

    /// What reading a segment gave; nullopt: it was not read.
    using Fetched = std::optional<Result<Segment>>;
    /// Reads a segment that load() would hold in memory.
    /// @param before_bytes of segments that will be loaded before it
    [[nodiscard]] Fetched fetch(const ObjectInfo& segment, std::uint64_t before_bytes) const;
    /// Holds a segment in memory or makes it ready to be asked in the store.
    /// @param fetched by fetch(); nullopt: it is read now
    /// @errors corrupt, id "vault.index_damaged" · not_found: gc merged it meanwhile · io
    Status load(const ObjectInfo& segment, Fetched fetched = {});
    /// As load(), of a segment just written, whose entries are at hand.
    Status add_own(const std::string& name, const Segment& segment);
    void condemn(const PackName& pack) { held_.condemn(pack); }

    /// What is held in memory of the chunk: costs no reading.
    [[nodiscard]] std::vector<IndexHit> find_held(const chunk::ChunkId& id) const {
        return held_.find(id);
    }
    /// What the segment in the store says that was the last to have a chunk: those of one disk lie
    /// mostly together, so that it spares asking all. Nothing where it cannot be asked.
    [[nodiscard]] std::vector<IndexHit> find_near(const chunk::ChunkId& id) const;
    /// What the segments in the store say.
    /// @param unsure_max of segments in which a page must be read to know whether they have the
    ///        chunk at most this many are asked, each time others: then no hit proves nothing
    [[nodiscard]] IndexAnswer find_stored(const chunk::ChunkId& id,
                                          std::size_t unsure_max = SIZE_MAX) const;
    /// Entries of all segments, copies counted.
    [[nodiscard]] std::uint64_t entries() const;
    /// Names of all packs, sorted: 32 bytes each, about 1 MiB for 1 TiB in full packs.
    /// @errors as SegmentReader::find
    [[nodiscard]] Result<std::vector<PackName>> packs() const;
    /// Names of the segments that are not held: nobody has read them whole.
    [[nodiscard]] std::vector<std::string> stored_segments() const;

private:
    using Readers = std::vector<std::shared_ptr<SegmentReader>>;
    VaultIndex(const VaultCore& core, std::shared_ptr<IndexMemory> memory,
               std::shared_ptr<const Readers> known);
    [[nodiscard]] std::shared_ptr<const Readers> readers() const;
    /// @return null: none of that name
    [[nodiscard]] std::shared_ptr<SegmentReader> known_reader(const std::string& name) const;
    void add_reader(std::shared_ptr<SegmentReader> reader);
    void ask(const Readers& segments, std::size_t at, const IndexKey& key,
             IndexAnswer& answer) const;
    /// Puts those of packs not condemned first.
    void mark_condemned(std::vector<IndexHit>& hits) const;
    void hold(const Segment& segment);
    [[nodiscard]] bool has_room(std::uint64_t bytes) const;

    const VaultCore& core_;
    std::shared_ptr<IndexMemory> memory_;
    std::shared_ptr<const Readers> known_;  // of the index that this one follows
    ChunkIndex held_;
    std::uint64_t held_bytes_ = 0;
    mutable std::mutex mutex_;  // never held while a store is asked
    std::shared_ptr<const Readers> readers_ = std::make_shared<const Readers>();
    // Among the readers; where those have changed meanwhile, a guess is lost.
    mutable std::atomic<std::size_t> near_{0};
    mutable std::atomic<std::size_t> turn_{0};  // the next to ask where not all are
};

}  // namespace stillpoint::vault
