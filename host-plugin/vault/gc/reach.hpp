#pragma once
#include <map>
#include <set>
#include <vector>

#include "env/cancel.hpp"
#include "vault/id_set.hpp"
#include "vault/map_node.hpp"
#include "vault/stored_chunks.hpp"
#include "vault/vault.hpp"

/// What the recovery points reach: the roots of everything that gc must keep.
namespace stillpoint::vault::gc {

/// The records of one pack that points need *from this pack*.
struct PackUse {
    std::vector<bool> needed;  // by slot
    std::uint32_t count = 0;
};

/// Walks the block maps of points and notes every record on the way. Of a chunk with several copies
/// one is needed: one that is not condemned if there is any, else one that is (a rescue). A delta
/// needs its base as well, whole: the base's record may be one that no map names any more.
/// Nodes are walked once, however many points share them. Memory: one bit a record, an IdSet of the
/// map nodes.
/// @threads one at a time
class Reach {
public:
    /// @param chunks with its index and marks fresh; outlives this
    explicit Reach(StoredChunks& chunks) : chunks_(chunks) {}

    /// @errors corrupt, id "gc.damage": something that the point needs is missing or damaged;
    ///         nothing may be deleted while that is so · cancelled · io
    Status add(const Point& point, const env::CancelToken& cancel);
    /// A reach that knows what was walked and has noted nothing: for points that came later.
    [[nodiscard]] Reach later() &&;

    [[nodiscard]] const std::map<PackName, PackUse>& packs() const { return packs_; }
    [[nodiscard]] bool needs(const PackName& pack) const { return packs_.contains(pack); }
    [[nodiscard]] std::uint64_t chunks() const { return records_; }

private:
    Status walk_disk(const DiskRoot& disk, const env::CancelToken& cancel);
    Status walk_node(const chunk::ChunkId& id, unsigned levels_left,
                     const env::CancelToken& cancel);
    Result<MapNode> read_node(const chunk::ChunkId& id);
    /// @return whether it was noted for the first time
    Result<bool> note(const chunk::ChunkId& id);
    bool mark(const ChunkPlace& place);

    StoredChunks& chunks_;
    std::map<PackName, PackUse> packs_;
    IdSet nodes_;
    std::uint64_t records_ = 0;
};

}  // namespace stillpoint::vault::gc
