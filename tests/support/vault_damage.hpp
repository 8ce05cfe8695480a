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
        spoil_chunk(map(root).id_at(BlockIndex{block}).value().value());
    }
    void spoil_node(const vault::DiskRoot& root, unsigned level, std::uint64_t index) {
        spoil_chunk(map(root).node_id(level, index).value().value());
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
