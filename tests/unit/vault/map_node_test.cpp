#include "vault/map_node.hpp"

#include <doctest/doctest.h>

#include "fakes/memory_chunk_store.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

chunk::ChunkId id_number(std::uint8_t n) {
    chunk::ChunkId id;
    id.value.fill(std::byte{n});
    return id;
}

MapNode node_of(std::uint32_t fan_out, const std::vector<std::uint32_t>& slots, std::uint8_t add) {
    MapNode node{3, fan_out};
    for (const auto slot : slots)
        node.append(slot, id_number(static_cast<std::uint8_t>(slot + add)));
    return node;
}

const MapShape small = MapShape::make(ByteCount{1000}, 16, 4).value();

}  // namespace

TEST_CASE("vault/map_node: full nodes, deltas and roots come back as written") {
    for (const std::uint32_t fan_out : {2u, 4u, 64u, 128u, 1024u}) {
        const MapNode node = node_of(fan_out, {0, fan_out - 1}, 1);
        CHECK(std::get<MapNode>(decode_node(encode(node)).value()) == node);
        const MapNode base = node_of(fan_out, {0}, 9);
        const DeltaNode delta = delta_between(base, id_number(77), node);
        CHECK(std::get<DeltaNode>(decode_node(encode(delta)).value()) == delta);
        CHECK(apply(delta, base).value() == node);
        CHECK(encode(node).size() == 12 + (fan_out + 7) / 8 + 64);
    }
    for (const ChildId& top : {ChildId{}, ChildId{id_number(5)}}) {
        const RootRecord root{small, top};
        CHECK(decode_root(encode(root)).value() == root);
    }
}

TEST_CASE("vault/map_node: a delta can clear children; one that clears all is refused") {
    const MapNode base = node_of(8, {1, 2, 5}, 1);
    const MapNode left = node_of(8, {5}, 1);
    CHECK(apply(delta_between(base, id_number(1), left), base).value() == left);
    const MapNode gone{3, 8};
    CHECK(apply(delta_between(base, id_number(1), gone), base).error().id == "map.delta");
    const MapNode elsewhere{2, 8};
    CHECK(apply(delta_between(base, id_number(1), left), elsewhere).error().id == "map.delta");
}

TEST_CASE("vault/map_node: neighbours are found in any position") {
    const MapNode node = node_of(256, {3, 63, 64, 200}, 1);
    CHECK(node.next(0) == 3u);
    CHECK(node.next(4) == 63u);
    CHECK(node.next(64) == 64u);
    CHECK(node.next(65) == 200u);
    CHECK_FALSE(node.next(201));
    CHECK_FALSE(node.next(256));
    CHECK(node.child(200) == id_number(201));
    CHECK_FALSE(node.child(199));
}

TEST_CASE("vault/map_node: every changed byte is refused or means something else") {
    const MapNode node = node_of(64, {0, 7, 40}, 1);
    const DeltaNode delta = delta_between(node_of(64, {0, 9}, 3), id_number(9), node);
    const std::vector<Bytes> records{encode(node), encode(delta), encode(RootRecord{small, {}}),
                                     encode(RootRecord{small, id_number(4)})};
    for (const Bytes& good : records) {
        for (std::size_t at = 0; at < good.size() * 8; ++at) {
            Bytes bad = good;
            bad[at / 8] ^= std::byte{1} << (at % 8);
            if (const auto read = decode_node(bad)) {
                std::visit([&](const auto& found) { CHECK(encode(found) == bad); }, *read);
            }
            if (const auto root = decode_root(bad)) CHECK(encode(*root) == bad);
        }
        for (std::size_t length = 0; length < good.size(); ++length) {
            const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
            CHECK_FALSE(decode_node(cut));
            CHECK_FALSE(decode_root(cut));
        }
        Bytes longer = good;
        longer.push_back(std::byte{0});
        CHECK_FALSE(decode_node(longer));
        CHECK_FALSE(decode_root(longer));
    }
}

TEST_CASE("vault/map_node: hostile headers are refused before anything is allocated") {
    Bytes node = encode(node_of(64, {1}, 1));
    node[8] = node[9] = node[10] = std::byte{0xff};  // fan-out of sixteen million
    CHECK(decode_node(node).error().id == "map.node");
    Bytes later = encode(node_of(64, {1}, 1));
    later[4] = std::byte{2};
    CHECK(decode_node(later).error().code == Errc::unsupported);
    Bytes root = encode(RootRecord{small, {}});
    for (std::size_t at = 12; at < 20; ++at) root[at] = std::byte{0xff};  // disk size
    CHECK(decode_root(root).error().id == "map.root");
}

TEST_CASE("vault/map_shape: depth, edges and lengths") {
    const auto shape = [](std::uint64_t size) {
        return MapShape::make(ByteCount{size}, 16, 4).value();
    };
    CHECK(shape(0).blocks() == 0);
    CHECK(shape(0).depth() == 1);
    CHECK(shape(64).depth() == 1);
    CHECK(shape(65).depth() == 2);
    CHECK(shape(65).blocks() == 5);
    CHECK(shape(65).length_of(BlockIndex{4}) == 1);
    CHECK(shape(65).length_of(BlockIndex{3}) == 16);
    CHECK(shape(65).children(0, 1) == 1);
    CHECK(shape(65).children(1, 0) == 2);
    CHECK(shape(65).children(0, 2) == 0);
    const auto big = MapShape::make(ByteCount{16ull << 40}, 64u << 10, 64).value();
    CHECK(big.blocks() == 1ull << 28);
    CHECK(big.depth() == 5);
    CHECK_FALSE(MapShape::make(ByteCount{1}, 3, 4));
    CHECK_FALSE(MapShape::make(ByteCount{1}, 16, 1));
    CHECK_FALSE(MapShape::make(ByteCount{~0ull}, 16, 4));
}
