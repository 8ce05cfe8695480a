#pragma once
#include <memory>
#include <string>

#include "vault/chunk_store.hpp"
#include "vault/stored_chunks.hpp"

namespace stillpoint::vault {

class PackWriter;
class RunLease;

/// The writing half of a backup run: its lease, its packs, its index segments.
/// The order of a run (I1): begin, put…, flush, ready_to_publish, (the caller puts the point), end.
/// Destroying it without end() leaves durable packs that no point reaches and a run object that
/// expires; a later gc removes both.
/// @threads put and get: any, concurrently; all others: one thread, after the last put returned
class ChunkRun final : public ChunkStore {
public:
    /// Writes the run object, then refreshes index and condemned marks (before any lookup).
    /// @param chunks outlives the run
    /// @errors busy, id "vault.run_exists": a run of that id was there before
    static Result<std::unique_ptr<ChunkRun>> begin(StoredChunks& chunks, const std::string& run_id);
    ~ChunkRun() override;

    /// The first failure sticks: every later call returns it, nothing can be published.
    Result<PutResult> put(const chunk::ChunkId& id, ByteView plaintext, Content content) override;
    /// Chunks put in this run can be read once flush() returned.
    Result<Bytes> get(const chunk::ChunkId& id, Content content) override;

    /// Packs, then the index segments that name them; all durable when it returns.
    Status flush();
    /// The last check before the point is put: lease alive, no pack that this run relies on was
    /// condemned meanwhile.
    /// @errors refused, id "vault.lease_lapsed" · busy, id "vault.pack_condemned": run again
    Status ready_to_publish();
    /// Removes the run objects. A store that only lets us add keeps them until gc: not an error.
    void end();
    /// Bytes of packs, index segments and run objects that this run added.
    [[nodiscard]] std::uint64_t stored_total_bytes() const;

private:
    ChunkRun(StoredChunks& chunks, std::unique_ptr<RunLease> lease,
             std::unique_ptr<PackWriter> writer);
    StoredChunks& chunks_;
    std::unique_ptr<RunLease> lease_;
    std::unique_ptr<PackWriter> writer_;
};

}  // namespace stillpoint::vault
