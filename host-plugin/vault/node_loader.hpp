#pragma once
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "vault/chunk_store.hpp"
#include "vault/map_node.hpp"

namespace stillpoint::vault {

/// The keyed id of some bytes. @threads any, concurrently
using IdFn = std::function<chunk::ChunkId(ByteView)>;

/// Fetches map nodes and proves them: the HMAC of what was read must be the id that was asked for.
/// Keeps the most recently used ones, a bounded number. @threads any, concurrently
class NodeLoader {
public:
    using Node = std::shared_ptr<const MapNode>;
    /// About 9 MiB with fan-out 64; holds every inner node of a 1 TiB disk.
    static constexpr std::size_t nodes_max_default = 4096;

    /// @param store outlives the loader
    NodeLoader(ChunkStore& store, IdFn id_of, std::size_t nodes_max = nodes_max_default)
        : store_(store), id_of_(std::move(id_of)), nodes_max_(nodes_max) {}

    /// A node of this level.
    /// @errors corrupt: missing, damaged, or not what its parent says · unsupported
    Result<Node> node(const chunk::ChunkId& id, unsigned level, std::uint32_t fan_out);
    /// @errors corrupt, unsupported
    Result<RootRecord> root(const chunk::ChunkId& id);
    /// Stores a node and keeps it at hand.
    /// @param previous the node that it takes the place of; nullopt: none, or one not stored
    /// @return its id
    Result<chunk::ChunkId> put(const MapNode& node, const ChildId& previous = std::nullopt);
    /// @return the root's id, the one that a recovery point names
    Result<chunk::ChunkId> put(const RootRecord& root);
    [[nodiscard]] chunk::ChunkId id_of(ByteView bytes) const { return id_of_(bytes); }

private:
    struct Slot {
        Node node;
        std::list<chunk::ChunkId>::iterator used;
    };
    Result<MapNode> fetch(const chunk::ChunkId& id);
    Node find(const chunk::ChunkId& id);
    void keep(const chunk::ChunkId& id, Node node);

    ChunkStore& store_;
    IdFn id_of_;
    std::size_t nodes_max_;
    std::mutex mutex_;                  // guards what follows
    std::list<chunk::ChunkId> by_use_;  // most recent first
    std::unordered_map<chunk::ChunkId, Slot, chunk::ChunkIdHash> nodes_;
};

}  // namespace stillpoint::vault
