#pragma once
#include <functional>
#include <optional>

#include "vault/node_loader.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// One disk's block map, read lazily: opening costs one record, a lookup one node per level.
/// Everything it returns is proven by the root id. @threads any, concurrently
class MapReader {
public:
    /// @param nodes outlives the reader
    /// @errors corrupt: missing or damaged root
    static Result<MapReader> open(NodeLoader& nodes, const chunk::ChunkId& root);

    [[nodiscard]] const MapShape& shape() const { return record_.shape; }
    [[nodiscard]] const ChildId& top() const { return record_.top; }
    /// @return the block's id; nullopt: zeros (so is everything past the disk's end)
    [[nodiscard]] Result<ChildId> id_at(BlockIndex block) const;
    /// Next block >= `from` that is not zero; nullopt: none.
    [[nodiscard]] Result<std::optional<BlockIndex>> next_data(BlockIndex from) const;
    /// What starts at `from` (before the disk's end), as far as one node tells.
    /// @errors none that is damage: a bad node is a run of its own
    [[nodiscard]] Result<MapRun> run_at(BlockIndex from) const;
    /// The node at a level (< depth) of the tree.
    [[nodiscard]] Result<ChildId> node_id(unsigned level, std::uint64_t index) const;

private:
    MapReader(NodeLoader& nodes, RootRecord record) : nodes_(&nodes), record_(record) {}
    /// The child's id at `level` on the way to `block`: level 0 gives block ids.
    [[nodiscard]] Result<ChildId> descend(unsigned level, std::uint64_t block) const;
    [[nodiscard]] Result<NodeLoader::Node> load(unsigned level, std::uint64_t index,
                                                const chunk::ChunkId& id) const;
    [[nodiscard]] MapRun run_until(MapRun::Kind kind, std::uint64_t from, std::uint64_t end) const;
    [[nodiscard]] Result<std::optional<BlockIndex>> next_below(unsigned level,
                                                               const chunk::ChunkId& id,
                                                               std::uint64_t index,
                                                               std::uint64_t from) const;
    NodeLoader* nodes_;
    RootRecord record_;
};

/// Called for each block whose id differs. An error stops the comparison.
using DiffFn = std::function<Status(BlockIndex block, const ChildId& a, const ChildId& b)>;

/// Compares two maps of one vault, in time proportional to their difference; blocks in ascending
/// order. Past the end of the smaller disk it counts as zeros.
/// @errors invalid: different chunk size or fan-out · corrupt
[[nodiscard]] Status diff_maps(NodeLoader& nodes, const MapReader& a, const MapReader& b,
                               const DiffFn& differs);

}  // namespace stillpoint::vault
