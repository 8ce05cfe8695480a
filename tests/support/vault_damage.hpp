#pragma once
#include "base/check.hpp"
#include "vault/map_reader.hpp"
#include "vault/stored_chunks.hpp"

namespace stillpoint::test {

/// Replaces an object's bytes; stores have no other way to do that.
inline void overwrite(vault::BlockStore& store, const std::string& name, ByteView bytes) {
    SP_CHECK(store.remove(name));
    SP_CHECK(store.put(name, bytes));
}

inline Bytes whole(vault::BlockStore& store, const std::string& name) {
    return store.get(name, ByteOffset{0}, store.size(name).value()).value();
}

inline void flip(vault::BlockStore& store, const std::string& name, std::uint64_t at) {
    Bytes bytes = whole(store, name);
    bytes.at(at) ^= std::byte{0x20};
    overwrite(store, name, bytes);
}

/// Records of an unencrypted vault that are stored as differences.
inline std::size_t delta_count(vault::BlockStore& store, const env::Clock& clock,
                               vault::Content content) {
    const auto core = vault::unlock_vault(store, {}, clock).value();
    const auto chunks = vault::StoredChunks::open(core).value();
    std::size_t count = 0;
    const auto packs = chunks->packs().value();
    for (const vault::PackName& pack : packs) {
        const auto directory = chunks->directory(pack).value();
        if (directory->content == content) count += directory->bases.size();
    }
    return count;
}

/// Finds the places of blocks and nodes of an unencrypted vault, to spoil them.
class Saboteur {
public:
    Saboteur(vault::BlockStore& store, const env::Clock& clock)
        : store_(store),
          core_(vault::unlock_vault(store, {}, clock).value()),
          chunks_(vault::StoredChunks::open(core_).value()),
          nodes_(*chunks_, [this](ByteView bytes) { return core_->keys.node_ids().id_of(bytes); }) {
    }
    void spoil_chunk(const chunk::ChunkId& id) {
        const auto place = chunks_->locate(id).value();
        flip(store_, place.pack.object(), place.entry.offset + place.entry.stored_bytes / 2);
    }
    void spoil_block(const vault::DiskRoot& root, std::uint64_t block) {
        spoil_chunk(block_id(root, block));
    }
    [[nodiscard]] chunk::ChunkId block_id(const vault::DiskRoot& root, std::uint64_t block) {
        return map(root).id_at(BlockIndex{block}).value().value();
    }
    [[nodiscard]] chunk::ChunkId node_id(const vault::DiskRoot& root, unsigned level,
                                         std::uint64_t index) {
        return map(root).node_id(level, index).value().value();
    }
    [[nodiscard]] vault::ChunkPlace place_of(const chunk::ChunkId& id) {
        return chunks_->locate(id).value();
    }
    void spoil_node(const vault::DiskRoot& root, unsigned level, std::uint64_t index) {
        spoil_chunk(node_id(root, level, index));
    }
    void spoil_root(const vault::DiskRoot& root) { spoil_chunk(root.root); }

private:
    vault::MapReader map(const vault::DiskRoot& root) {
        return vault::MapReader::open(nodes_, root.root).value();
    }
    vault::BlockStore& store_;
    std::shared_ptr<vault::VaultCore> core_;
    std::unique_ptr<vault::StoredChunks> chunks_;
    vault::NodeLoader nodes_;
};

}  // namespace stillpoint::test
