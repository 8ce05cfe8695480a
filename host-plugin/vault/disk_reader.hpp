#pragma once
#include <memory>

#include "vault/map_reader.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// Reads one disk at one point through its map. @threads any, concurrently
class BlockReader final : public DiskReader {
public:
    /// @param chunks, nodes outlive the reader
    /// @errors corrupt: the root is missing, damaged, or not of this size and chunk size
    static Result<std::unique_ptr<DiskReader>> open(ChunkStore& chunks, NodeLoader& nodes,
                                                    const DiskRoot& root,
                                                    std::uint32_t chunk_bytes);
    [[nodiscard]] ByteCount size() const override { return map_.shape().size(); }
    [[nodiscard]] std::uint32_t chunk_bytes() const override { return map_.shape().chunk_bytes(); }
    Result<Bytes> block(BlockIndex block) override;
    Result<std::optional<BlockIndex>> next_data(BlockIndex from) override;
    Result<ChildId> id_at(BlockIndex block) override;
    Result<MapRun> run_at(BlockIndex from) override;

private:
    BlockReader(ChunkStore& chunks, const MapReader& map) : chunks_(chunks), map_(map) {}
    ChunkStore& chunks_;
    MapReader map_;
};

}  // namespace stillpoint::vault
