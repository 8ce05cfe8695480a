#include <doctest/doctest.h>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "support/golden.hpp"
#include "vault/map_writer.hpp"
#include "vault/memory_store.hpp"
#include "vault/point_record.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using namespace stillpoint::test;

namespace {

const chunk::ChunkHasher& node_hasher() {
    static const chunk::ChunkHasher hasher{
        chunk::SecretKey::from(Bytes(chunk::SecretKey::bytes, std::byte{0x42})).value()};
    return hasher;
}

chunk::ChunkId id_number(std::uint8_t n) {
    chunk::ChunkId id;
    for (std::size_t at = 0; at < id.value.size(); ++at) {
        id.value[at] = static_cast<std::byte>(n * 16u + at);
    }
    return id;
}

MapNode sample_node() {
    MapNode node{1, 64};
    node.append(0, id_number(1));
    node.append(9, id_number(2));
    node.append(63, id_number(3));
    return node;
}

MapNode sample_base() {
    MapNode node{1, 64};
    node.append(0, id_number(1));
    node.append(1, id_number(4));
    node.append(63, id_number(5));
    return node;
}

RootRecord sample_root(const ChildId& top) {
    return {MapShape::make(ByteCount{1'000'000'512}, 64u << 10, 64).value(), top};
}

Point sample_point() {
    return {.id = "0192f3a4b5c67def8123456789abcdef",
            .vm_name = "web1",
            .vm_uuid = "6b0c4a3e-1f7d-4a53-9d0c-2b6a1c9e8f70",
            .disks = {{"vda", ByteCount{1'000'000'512}, id_number(6)},
                      {"vdb", ByteCount{0}, id_number(7)}},
            .document = to_bytes(as_bytes("a document of the route"))};
}

/// Keeps nodes; a map is all that is written here.
class Nodes final : public ChunkStore {
public:
    Result<PutResult> put(const chunk::ChunkId& id, ByteView bytes, Content) override {
        kept[id] = to_bytes(bytes);
        return PutResult{bytes.size()};
    }
    Result<Bytes> get(const chunk::ChunkId& id, Content) override {
        const auto found = kept.find(id);
        if (found == kept.end()) return fail(Errc::corrupt, "test.missing", "no such node");
        return found->second;
    }
    std::map<chunk::ChunkId, Bytes> kept;
};

}  // namespace

TEST_CASE("golden/map: node, delta and root records are written as when version 1 was frozen") {
    const DeltaNode delta = delta_between(sample_base(), id_number(8), sample_node());
    CHECK(matches_golden("vault/map-node-full-v1.bin", encode(sample_node())));
    CHECK(matches_golden("vault/map-node-delta-v1.bin", encode(delta)));
    CHECK(matches_golden("vault/map-root-v1.bin", encode(sample_root(id_number(9)))));
    CHECK(matches_golden("vault/map-root-zeros-v1.bin", encode(sample_root({}))));
}

TEST_CASE("golden/map: frozen records are read") {
    const auto full = decode_node(read_golden("vault/map-node-full-v1.bin")).value();
    const auto delta = decode_node(read_golden("vault/map-node-delta-v1.bin")).value();
    CHECK(std::get<MapNode>(full) == sample_node());
    CHECK(apply(std::get<DeltaNode>(delta), sample_base()).value() == sample_node());
    CHECK(decode_root(read_golden("vault/map-root-v1.bin")).value() == sample_root(id_number(9)));
    CHECK(decode_root(read_golden("vault/map-root-zeros-v1.bin")).value() == sample_root({}));
}

TEST_CASE("golden/map: the roots of known disks") {
    Nodes store;
    NodeLoader nodes{store, [](ByteView bytes) { return node_hasher().id_of(bytes); }};
    std::string roots;
    const auto add = [&](std::uint64_t size, const std::vector<std::uint64_t>& blocks) {
        const auto shape = MapShape::make(ByteCount{size}, 64u << 10, 64).value();
        const auto map = MapWriter::open(nodes, shape, nullptr).value();
        for (const std::uint64_t at : blocks) {
            REQUIRE(map->put(BlockIndex{at}, id_number(static_cast<std::uint8_t>(at % 7))));
        }
        roots += std::to_string(size) + " " + to_hex(map->finish().value().view()) + "\n";
    };
    add(0, {});
    add(1, {});
    add(1, {0});
    add(10'000'000, {0, 1, 64, 150});
    add(16ull << 40, {5, 1ull << 27, (1ull << 28) - 1});
    CHECK(matches_golden("vault/map-roots-v1.txt", roots));
}

TEST_CASE("golden/point: the record is written as when version 1 was frozen, and read") {
    CHECK(matches_golden("vault/point-record-v1.bin", encode_point(sample_point()).value()));
    const Point read = decode_point(read_golden("vault/point-record-v1.bin")).value();
    CHECK(encode_point(read).value() == encode_point(sample_point()).value());
    CHECK(read.vm_name == "web1");
    CHECK(read.disks == sample_point().disks);
}
