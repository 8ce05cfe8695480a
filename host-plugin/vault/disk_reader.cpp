#include "vault/disk_reader.hpp"

#include "base/hex.hpp"

namespace stillpoint::vault {

Result<std::unique_ptr<DiskReader>> BlockReader::open(ChunkStore& chunks, NodeLoader& nodes,
                                                      const DiskRoot& root,
                                                      std::uint32_t chunk_bytes) {
    auto map = MapReader::open(nodes, root.root);
    if (!map) return fail(in_step("disk " + root.disk, map.error()));
    if (map->shape().size() != root.size || map->shape().chunk_bytes() != chunk_bytes) {
        return fail(Errc::corrupt, "map.damaged",
                    "disk " + root.disk + ": its block map is of another disk or vault");
    }
    return std::unique_ptr<DiskReader>{new BlockReader{chunks, *map}};
}

Result<Bytes> BlockReader::block(BlockIndex block) {
    SP_ASSIGN(const ChildId id, map_.id_at(block));
    if (!id) return Bytes{};
    SP_ASSIGN(Bytes bytes, chunks_.get(*id, Content::data));
    if (bytes.size() != map_.shape().length_of(block)) {
        return fail(Errc::corrupt, "vault.chunk_damaged",
                    "chunk " + to_hex(id->view()).substr(0, 16) + " has " +
                        std::to_string(bytes.size()) + " bytes where block " +
                        std::to_string(block.raw()) + " has " +
                        std::to_string(map_.shape().length_of(block)));
    }
    return bytes;
}

Result<std::optional<BlockIndex>> BlockReader::next_data(BlockIndex from) {
    return map_.next_data(from);
}

Result<ChildId> BlockReader::id_at(BlockIndex block) {
    return map_.id_at(block);
}

Result<MapRun> BlockReader::run_at(BlockIndex from) {
    return map_.run_at(from);
}

}  // namespace stillpoint::vault
