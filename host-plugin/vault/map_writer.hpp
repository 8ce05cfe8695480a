#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "vault/map_reader.hpp"

namespace stillpoint::vault {

struct MapWriterOptions {
    /// Held in memory before the lowest open nodes are written out, in units of one child's id;
    /// about 40 bytes each, so some 80 MiB for one disk at most: 25 GiB of scattered changes.
    std::size_t units_max = 2u << 20;
};

/// Builds a disk's map from its changes, bottom-up, writing only nodes that differ from the
/// parent's. A node is written as soon as all its children are known; memory follows the changes,
/// never the disk. @threads put and put_zeros: any, concurrently; finish: one, last
class MapWriter {
public:
    /// @param nodes outlives the writer; its store serves what this run has put
    /// @param parent the map to build on: its disk may be smaller or larger; nullptr: all zeros.
    ///        Blocks past a smaller new end are dropped; a new tail is zeros.
    /// @errors invalid: the parent has another chunk size or fan-out · corrupt
    static Result<std::unique_ptr<MapWriter>> open(NodeLoader& nodes, const MapShape& shape,
                                                   const MapReader* parent,
                                                   const MapWriterOptions& options = {});
    /// @param id nullopt: zeros. A block given twice keeps the last one.
    Status put(BlockIndex block, const ChildId& id);
    /// Time follows the depth of the tree, not the count.
    Status put_zeros(BlockIndex first, std::uint64_t count);
    /// @return the root's id
    Result<chunk::ChunkId> finish();
    [[nodiscard]] const MapShape& shape() const { return shape_; }

private:
    struct Key {
        unsigned level;
        std::uint64_t index;
        friend auto operator<=>(const Key&, const Key&) = default;
    };
    struct Entry {
        chunk::ChunkId id;
        std::uint32_t slot = 0;
    };
    /// What changed below one node; children not known keep the base's content.
    struct OpenNode {
        explicit OpenNode(std::uint32_t fan_out) : known(fan_out) {}
        SlotSet known;
        std::vector<Entry> data;  // of the known ones those that are not zero
        [[nodiscard]] std::size_t units() const { return open_node_units + data.size(); }
        [[nodiscard]] ChildId child(std::uint32_t slot) const;
        void set(std::uint32_t slot, const ChildId& id);
    };
    static constexpr std::size_t open_node_units = 4;  // its own memory, as units_max counts

    MapWriter(NodeLoader& nodes, const MapShape& shape, std::size_t units_max)
        : nodes_(nodes), shape_(shape), units_max_(units_max) {}
    OpenNode& open_node(const Key& key);
    Status adopt(const MapReader& parent);
    Status lift(const MapReader& parent);
    Status set_child(const Key& key, std::uint32_t slot, const ChildId& id);
    void forget_below(unsigned level, std::uint64_t first, std::uint64_t end);
    Status zero_range(std::uint64_t at, std::uint64_t end);
    Status relieve();
    Status write_lowest();
    Status write_node(const Key& key);
    Result<MapNode> merged(const Key& key, const OpenNode& changes);
    Result<NodeLoader::Node> load(const Key& key, const ChildId& id);
    Result<ChildId> base_of(const Key& key);
    Status guard() const;
    Status keep_error(Status status);

    NodeLoader& nodes_;
    const MapShape shape_;
    const std::size_t units_max_;
    std::mutex mutex_;  // guards what follows
    std::map<Key, OpenNode> open_;
    std::size_t units_ = 0;
    ChildId top_;  // the parent's (cut or lifted to our depth), later our own
    /// Nodes above a shallower parent's top: they exist nowhere until written.
    std::unordered_map<chunk::ChunkId, NodeLoader::Node, chunk::ChunkIdHash> lifted_;
    std::optional<Error> broken_;  // the first failure: everything after it fails as well (R11)
};

}  // namespace stillpoint::vault
