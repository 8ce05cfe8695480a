#pragma once
#include <memory>

#include "vault/node_loader.hpp"
#include "vault/stored_chunks.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// A vault whose key and index are loaded. @threads any, concurrently
class OpenedVault final : public Vault {
public:
    static Result<std::unique_ptr<Vault>> open(std::shared_ptr<VaultCore> core);
    [[nodiscard]] std::string short_id() const override;
    [[nodiscard]] std::uint32_t chunk_bytes() const override { return core_->config.chunk_bytes; }
    Result<PointList> point_list() override;
    Result<Point> point(const PointId& id) override;
    Result<std::unique_ptr<Run>> begin_run(const PointId& id) override;
    Result<std::unique_ptr<DiskReader>> open_disk(const DiskRoot& root) override;
    Status diff(const DiskRoot& before, const DiskRoot& now, const BlockDiffFn& differs) override;
    Status forget(const PointId& id) override;
    Result<CheckResult> check(CheckDepth depth, const ProgressFn& progress,
                              const env::CancelToken& cancel) override;
    Result<Stats> stats(const StatsRequest& request, const env::CancelToken& cancel) override;
    Result<GcResult> collect(const GcOptions& options, const ProgressFn& progress,
                             const env::CancelToken& cancel) override;
    Result<RepairResult> repair(const RepairOptions& options, const ProgressFn& progress,
                                const env::CancelToken& cancel) override;
    Status confirm(const PointId& id) override;
    [[nodiscard]] chunk::ChunkId id_of(ByteView plaintext) const override;
    Result<std::unique_ptr<RootProof>> prove(ByteCount size) override;

private:
    OpenedVault(std::shared_ptr<VaultCore> core, std::unique_ptr<StoredChunks> chunks);
    [[nodiscard]] IdFn node_ids() const;

    std::shared_ptr<VaultCore> core_;
    std::unique_ptr<StoredChunks> chunks_;
    NodeLoader nodes_;
};

/// Reads and opens one point's object.
/// @errors not_found, id "point.not_found" · corrupt, id "point.damaged" · unsupported
[[nodiscard]] Result<Point> load_point(const VaultCore& core, const PointId& id);

struct PointListing {
    std::vector<PointId> ids;            // oldest first
    std::vector<std::string> strangers;  // objects under points/ that are not named like one
};
[[nodiscard]] Result<PointListing> list_points(BlockStore& store);

}  // namespace stillpoint::vault
