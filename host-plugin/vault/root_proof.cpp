#include "vault/root_proof.hpp"

#include <limits>

namespace stillpoint::vault {
namespace {

/// Takes the nodes of a map whose root alone is wanted.
class NodeSink final : public ChunkStore {
public:
    Result<PutResult> put(const chunk::ChunkId&, ByteView, Content) override { return PutResult{}; }
    Result<Bytes> get(const chunk::ChunkId&, Content) override {
        return fail(Errc::invalid, "map.proof", "a proof reads nothing back");
    }
};

class MapProof final : public RootProof {
public:
    MapProof(const MapShape& shape, IdFn node_id) : nodes_(sink_, std::move(node_id), 0) {
        // Nothing can be read back, so nothing may be written before it is complete; all blocks
        // are given, so every node becomes complete.
        const MapWriterOptions options{.units_max = std::numeric_limits<std::size_t>::max()};
        map_ = MapWriter::open(nodes_, shape, nullptr, options).value();  // no parent: cannot fail
    }
    Status put(BlockIndex block, const chunk::ChunkId& id) override { return map_->put(block, id); }
    Status put_zeros(BlockIndex first, std::uint64_t count) override {
        return map_->put_zeros(first, count);
    }
    Result<chunk::ChunkId> finish() override { return map_->finish(); }

private:
    NodeSink sink_;
    NodeLoader nodes_;
    std::unique_ptr<MapWriter> map_;
};

}  // namespace

std::unique_ptr<RootProof> make_root_proof(const MapShape& shape, IdFn node_id) {
    return std::make_unique<MapProof>(shape, std::move(node_id));
}

}  // namespace stillpoint::vault
