#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "fakes/memory_chunk_store.hpp"
#include "vault/map_writer.hpp"

namespace stillpoint::test {

/// What a map must say: one id (or zero) for each block.
using Model = std::vector<vault::ChildId>;

inline chunk::ChunkId content(std::uint64_t n) {
    return fakes::mixed_id(as_bytes(std::to_string(n)));
}

struct World {
    explicit World(std::uint32_t children_max) : fan_out(children_max) {}
    vault::MapShape shape(std::uint64_t blocks) const {
        return vault::MapShape::make(ByteCount{blocks * 16}, 16, fan_out).value();
    }
    std::unique_ptr<vault::MapWriter> writer(std::uint64_t blocks, const vault::MapReader* parent,
                                             const vault::MapWriterOptions& options = {}) {
        return vault::MapWriter::open(nodes, shape(blocks), parent, options).value();
    }
    chunk::ChunkId write(const Model& model, const vault::MapReader* parent = nullptr) {
        auto map = writer(model.size(), parent);
        for (std::size_t at = 0; at < model.size(); ++at) {
            SP_CHECK(map->put(BlockIndex{at}, model[at]));
        }
        return map->finish().value();
    }
    vault::MapReader open(const chunk::ChunkId& root) {
        return vault::MapReader::open(nodes, root).value();
    }
    Model read(const chunk::ChunkId& root) {
        const vault::MapReader map = open(root);
        Model model;
        for (std::uint64_t at = 0; at < map.shape().blocks(); ++at) {
            model.push_back(map.id_at(BlockIndex{at}).value());
        }
        return model;
    }

    std::uint32_t fan_out;
    fakes::MemoryChunkStore store;
    vault::NodeLoader nodes{store, fakes::mixed_id};
};

}  // namespace stillpoint::test
