#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "chunk/pool.hpp"
#include "vault/chunk_store.hpp"
#include "vault/pack_writer.hpp"
#include "vault/run_lease.hpp"
#include "vault/stored_chunks.hpp"

namespace stillpoint::vault {

/// Whether reading a base pays, by how it went: after a row of failures one chunk of 16 is tried.
/// @threads any, concurrently
class DeltaOdds {
public:
    [[nodiscard]] bool worth_trying() {
        if (failures_ < failures_in_a_row) return true;
        return ++skipped_ % try_one_of == 0;
    }
    void tell(bool worked) {
        if (worked) {
            failures_ = 0;
        } else if (failures_ < failures_in_a_row) {
            ++failures_;
        }
    }

private:
    static constexpr std::uint32_t failures_in_a_row = 32, try_one_of = 16;
    std::atomic<std::uint32_t> failures_{0}, skipped_{0};
};

/// The writing half of a backup run: its lease, its packs, its index segments.
/// The order of a run (I1): begin, put…, flush, ready_to_publish, (the caller puts the point), end.
/// Destroying it ends the run and leaves durable packs that no point reaches; a later gc removes
/// them.
/// @threads put and get: any, concurrently; all others: one thread, for a complete result after
///          the last put returned
class ChunkRun final : public ChunkStore {
public:
    /// Writes the run object, then refreshes index and condemned marks (before any lookup).
    /// @param chunks outlives the run
    /// @errors busy, id "vault.run_exists": a run of that id was there before
    static Result<std::unique_ptr<ChunkRun>> begin(StoredChunks& chunks, const std::string& run_id);
    ~ChunkRun() override;

    /// The first failure sticks: every later call returns it, nothing can be published.
    Result<PutResult> put(const chunk::ChunkId& id, ByteView plaintext, Content content) override;
    Result<PutResult> put_after(const chunk::ChunkId& previous, const chunk::ChunkId& id,
                                ByteView plaintext, Content content) override;
    /// Also chunks put in this run: one that is not indexed yet makes it flush first (seldom: a
    /// map that was written early for want of memory and is changed again).
    Result<Bytes> get(const chunk::ChunkId& id, Content content) override;

    /// Stores a record that another pack holds once more, as it is: for gc, which empties packs.
    /// A chunk may be copied twice, as a delta and whole: others may build on the latter.
    /// @param directory of that pack
    Status copy(const PackDirectory& directory, std::uint32_t slot, ByteView payload);

    /// Has the next index segment name a durable pack that this run did not write: for repair.
    Status adopt(DurablePack pack) { return on_durable(std::move(pack)); }

    /// Packs, then the index segments that name them; all durable when it returns.
    Status flush();
    /// The last check before the point is put: everything flushed, lease alive. Packs that were
    /// condemned since the run began do no harm: they wait for it, and are kept if its point needs
    /// them.
    /// @errors refused, id "vault.lease_lapsed"
    Status ready_to_publish();
    /// Of a run whose point may yet appear although its put failed (an answer that got lost, a
    /// store that hung): the run objects stay until they expire, and gc then takes the point's
    /// name.
    void leave_to_expire() { expires_ = true; }
    /// Removes the run objects. A store that only lets us add keeps them until gc: not an error.
    void end();
    /// Bytes of packs, index segments and run objects that this run added.
    [[nodiscard]] std::uint64_t stored_total_bytes() const;
    [[nodiscard]] RunLease& lease() { return *lease_; }

private:
    ChunkRun(StoredChunks& chunks, std::unique_ptr<RunLease> lease);
    enum class Copies { one, one_whole };
    /// False when this run has the chunk already, stored or on its way; for one_whole also not as a
    /// delta.
    bool claim(const chunk::ChunkId& id, Copies copies);
    bool is_claimed(const chunk::ChunkId& id);
    Result<bool> known_before(const chunk::ChunkId& id);
    Result<PutResult> put_chunk(const chunk::ChunkId* previous, const chunk::ChunkId& id,
                                ByteView plaintext, Content content);
    Result<PutResult> store(const chunk::ChunkId* previous, const chunk::ChunkId& id,
                            ByteView plaintext, Content content);
    bool may_be_delta(Content content);
    std::optional<ByteView> difference(const BaseRecord& base, ByteView plaintext, Content content,
                                       Bytes& scratch);
    Result<chunk::Payload> encode(const chunk::ChunkId* previous, ByteView plaintext,
                                  Content content, Bytes& scratch);
    Status on_durable(DurablePack pack);
    Status write_segment();

    StoredChunks& chunks_;
    std::unique_ptr<RunLease> lease_;
    mutable std::mutex mutex_;
    std::unordered_map<chunk::ChunkId, Copies, chunk::ChunkIdHash> claimed_;  // not in a segment
    std::vector<DurablePack> unindexed_;
    std::size_t unindexed_entries_ = 0;
    bool expires_ = false;
    std::uint64_t stored_bytes_ = 0;
    DeltaOdds delta_odds_;
    chunk::ContextPool<Bytes, std::default_delete<Bytes>> scratches_;  // of the compressor
    std::mutex indexing_;                                              // one segment at a time
    std::unique_ptr<PackWriter> writer_;  // last: its threads use all of the above
};

}  // namespace stillpoint::vault
