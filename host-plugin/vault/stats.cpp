#include "vault/stats.hpp"

#include <algorithm>
#include <unordered_map>

#include "vault/gc/reach.hpp"
#include "vault/map_reader.hpp"
#include "vault/point_copies.hpp"

namespace stillpoint::vault {
namespace {

/// Counts blocks of data under map nodes; a node that several points share is read once.
class BlockCount {
public:
    BlockCount(NodeLoader& nodes, const env::CancelToken& cancel)
        : nodes_(nodes), cancel_(cancel) {}

    /// @return bytes of the disk that are no zeros, in whole blocks (the last at its true length)
    Result<std::uint64_t> bytes_of(const DiskRoot& disk) {
        SP_ASSIGN(const MapReader map, MapReader::open(nodes_, disk.root));
        const MapShape& shape = map.shape();
        if (!map.top()) return 0;
        SP_ASSIGN(const std::uint64_t blocks,
                  below(*map.top(), shape.depth() - 1, shape.fan_out()));
        const BlockIndex last{shape.blocks() - 1};
        SP_ASSIGN(const ChildId tail, map.id_at(last));
        return blocks * shape.chunk_bytes() -
               (tail ? shape.chunk_bytes() - shape.length_of(last) : 0);
    }

private:
    Result<std::uint64_t> below(const chunk::ChunkId& id, unsigned level, std::uint32_t fan_out) {
        if (const auto known = known_.find(id); known != known_.end()) return known->second;
        SP_TRY(cancel_.check());
        SP_ASSIGN(const auto node, nodes_.node(id, level, fan_out));
        std::uint64_t blocks = level == 0 ? node->count() : 0;
        for (auto slot = node->next(0); level > 0 && slot; slot = node->next(*slot + 1)) {
            SP_ASSIGN(const std::uint64_t child, below(*node->child(*slot), level - 1, fan_out));
            blocks += child;
        }
        known_.emplace(id, blocks);
        return blocks;
    }

    NodeLoader& nodes_;
    const env::CancelToken& cancel_;
    std::unordered_map<chunk::ChunkId, std::uint64_t, chunk::ChunkIdHash> known_;
};

Status count_packs(StoredChunks& chunks, Stats& stats) {
    SP_ASSIGN(const auto packs, chunks.packs());
    for (const PackName& name : packs) {
        ++stats.packs;
        const auto directory = chunks.directory(name);
        if (!directory) continue;  // damage is what check reports
        if ((*directory)->content != Content::data) continue;
        stats.chunks += (*directory)->entries.size();
        for (const DirectoryEntry& entry : (*directory)->entries) {
            stats.unique_bytes += entry.plain_bytes;
            stats.chunk_bytes_stored += entry.stored_bytes;
        }
    }
    return {};
}

bool is_needed(const std::map<PackName, gc::PackUse>& packs, const PackName& name,
               std::size_t slot) {
    const auto use = packs.find(name);
    return use != packs.end() && slot < use->second.needed.size() && use->second.needed[slot];
}

/// What a record takes in its pack: its sealed bytes and its entry in the directory.
std::uint64_t record_bytes(const PackDirectory& directory, std::uint32_t slot) {
    return directory.entries.at(slot).stored_bytes +
           pack_end_bytes(1, directory.base_of(slot) ? 1 : 0) - pack_end_bytes(0);
}

/// The point's object and its copy, where it has one.
Result<std::uint64_t> own_bytes(const VaultCore& core, const Point& point) {
    const auto copy = core.store.size(copy_object(point.id));
    if (copy) return point.object_bytes + copy->raw();
    if (copy.error().code == Errc::not_found) return point.object_bytes;
    return fail(copy.error());
}

/// The records that only these points need (a base counts for what builds on it), and their own
/// objects.
Result<std::uint64_t> freed_by(StoredChunks& chunks, const std::vector<Point>& points,
                               const std::vector<PointId>& forgotten,
                               const env::CancelToken& cancel) {
    gc::Reach reach{chunks};
    const auto goes = [&](const Point& point) {
        return std::ranges::find(forgotten, point.id) != forgotten.end();
    };
    for (const Point& point : points) {
        if (!goes(point)) SP_TRY(reach.add(point, cancel));
    }
    const std::map<PackName, gc::PackUse> others = reach.packs();
    std::uint64_t freed = 0;
    for (const Point& point : points) {
        if (!goes(point)) continue;
        SP_TRY(reach.add(point, cancel));
        SP_ASSIGN(const std::uint64_t own, own_bytes(chunks.core(), point));
        freed += own;
    }
    for (const auto& [name, use] : reach.packs()) {
        SP_ASSIGN(const auto directory, chunks.directory(name));
        for (std::uint32_t slot = 0; slot < use.needed.size(); ++slot) {
            if (!use.needed[slot] || is_needed(others, name, slot)) continue;
            freed += record_bytes(*directory, slot);
        }
    }
    return freed;
}

}  // namespace

Result<Stats> measure_vault(StoredChunks& chunks, NodeLoader& nodes,
                            const std::vector<Point>& points, const StatsRequest& request,
                            const env::CancelToken& cancel) {
    Stats stats;
    stats.points = points.size();
    for (const Point& point : points) {
        for (const DiskRoot& disk : point.disks) stats.logical_bytes += disk.size.raw();
    }
    SP_ASSIGN(const auto objects, chunks.core().store.list(""));
    for (const ObjectInfo& object : objects) stats.stored_bytes += object.size.raw();
    SP_TRY(count_packs(chunks, stats));
    if (request.read_maps) {
        BlockCount count{nodes, cancel};
        stats.data_bytes = 0;
        for (const Point& point : points) {
            for (const DiskRoot& disk : point.disks) {
                SP_ASSIGN(const std::uint64_t bytes, count.bytes_of(disk));
                *stats.data_bytes += bytes;
            }
        }
    }
    if (!request.forget.empty()) {
        SP_ASSIGN(stats.freed_bytes, freed_by(chunks, points, request.forget, cancel));
    }
    return stats;
}

}  // namespace stillpoint::vault
