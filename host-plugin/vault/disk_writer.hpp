#pragma once
#include <atomic>
#include <memory>

#include "vault/map_writer.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// What one run's disks share; all of it outlives them.
struct DiskContext {
    ChunkStore& chunks;
    NodeLoader& nodes;
    IdFn block_id;  // keyed id of a data block
};

/// Ships what differs from the parent: zero test, id, the parent's id at that block, then the
/// store.
class BlockWriter final : public DiskWriter {
public:
    /// @param parent root of the map to build on; its disk may have another size
    /// @errors corrupt: the parent's map is damaged, or it is not of the size that its point says ·
    ///         invalid: the parent has another geometry
    static Result<std::unique_ptr<DiskWriter>> open(const DiskContext& context,
                                                    const std::string& disk, const MapShape& shape,
                                                    const std::optional<DiskRoot>& parent);
    Status put(BlockIndex block, ByteView bytes) override;
    Status put_zeros(BlockIndex first, std::uint64_t count) override;
    Result<DiskRoot> finish() override;
    [[nodiscard]] WriteCounts counts() const override;

private:
    BlockWriter(const DiskContext& context, std::string disk, const MapShape& shape)
        : context_(context), disk_(std::move(disk)), shape_(shape) {}
    [[nodiscard]] Result<ChildId> parent_id(BlockIndex block) const;
    [[nodiscard]] Status check_range(BlockIndex first, std::uint64_t count) const;
    void note(BlockIndex first, std::uint64_t count);
    Status carry_edge();

    DiskContext context_;
    std::string disk_;
    MapShape shape_;
    std::optional<MapReader> parent_;
    std::unique_ptr<MapWriter> map_;
    std::atomic<std::uint64_t> shipped_bytes_{0}, stored_bytes_{0};
    /// The block whose length the new size changes; it must be shipped again unless it was given.
    std::optional<BlockIndex> edge_;
    std::atomic<bool> edge_given_{false};
};

}  // namespace stillpoint::vault
