#pragma once
#include <atomic>
#include <memory>

#include "vault/chunk_run.hpp"
#include "vault/disk_writer.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// One backup run over the writing half of the vault: disks, flush, publish in that order (I1).
class BackupRun final : public Run {
public:
    /// @param chunks outlives the run
    /// @errors invalid: not a point id · busy: a run or point of that id exists
    static Result<std::unique_ptr<Run>> begin(StoredChunks& chunks, const PointId& id);
    Result<std::unique_ptr<DiskWriter>> open_disk(const std::string& disk, ByteCount size,
                                                  std::optional<DiskRoot> parent) override;
    Status flush() override;
    Status publish(const Point& point) override;
    [[nodiscard]] std::uint64_t stored_total_bytes() const override;

private:
    BackupRun(StoredChunks& chunks, PointId id, std::unique_ptr<ChunkRun> run);
    Status prove_durable(const Point& point);

    StoredChunks& chunks_;
    PointId id_;
    std::unique_ptr<ChunkRun> run_;
    NodeLoader nodes_;
    std::atomic<bool> flushed_{false};
    std::uint64_t point_bytes_ = 0;
};

}  // namespace stillpoint::vault
