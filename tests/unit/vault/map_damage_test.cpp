#include <doctest/doctest.h>

#include "map_world.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::content;
using test::Model;
using test::World;

TEST_CASE("vault/map: a delta that is stored as if it were a node is damage") {
    World world{4};
    const auto a = world.write(Model(4, content(1)));
    const auto b = world.write({content(1), content(1), content(1), content(2)});
    const auto id_a = world.open(a).top().value(), id_b = world.open(b).top().value();
    const auto node_a = world.nodes.node(id_a, 0, 4).value(),
               node_b = world.nodes.node(id_b, 0, 4).value();
    const Bytes delta = encode(delta_between(*node_a, id_a, *node_b));
    world.store.chunks[{Content::map, id_b}] = delta;
    const auto odd = fakes::mixed_id(delta);
    world.store.chunks[{Content::map, odd}] = delta;
    NodeLoader cold{world.store, fakes::mixed_id};
    CHECK(cold.node(id_b, 0, 4).error().id == "map.damaged");
    CHECK(cold.node(odd, 0, 4).error().id == "map.damaged");
}

TEST_CASE("vault/map: any changed, cut or missing node is damage and nothing else") {
    World world{4};
    Model model(64);
    for (std::size_t at = 0; at < 64; ++at) model[at] = content(at);
    const auto root = world.write(model);
    const auto good = world.store.chunks;
    const auto walk = [&]() -> Status {
        NodeLoader cold{world.store, fakes::mixed_id};
        SP_ASSIGN(const MapReader map, MapReader::open(cold, root));
        for (std::uint64_t at = 0; at < 64; ++at) {
            SP_ASSIGN(const ChildId id, map.id_at(BlockIndex{at}));
            CHECK(id == model[at]);
        }
        return {};
    };
    CHECK(walk());
    for (const auto& [key, bytes] : good) {
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            Bytes& bad = world.store.chunks[key] = bytes;
            bad[at] ^= std::byte{0x10};
            const Status flipped = walk();
            CHECK_FALSE(flipped);
            world.store.chunks[key].resize(at);
            CHECK_FALSE(walk());
        }
        world.store.chunks.erase(key);
        CHECK(walk().error().code == Errc::corrupt);
        world.store.chunks[key] = bytes;
    }
}

TEST_CASE("vault/map: nodes of a wrong level or past the disk's end are damage") {
    World world{4};
    const auto leaf = world.open(world.write(Model(4, content(1)))).top();
    const auto odd = world.nodes.put(RootRecord{world.shape(16), leaf}).value();
    CHECK(world.open(odd).id_at(BlockIndex{0}).error().id == "map.damaged");
    const auto cut = world.nodes.put(RootRecord{world.shape(3), leaf}).value();
    CHECK(world.open(cut).id_at(BlockIndex{0}).error().id == "map.damaged");
    CHECK(world.open(cut).next_data(BlockIndex{0}).error().id == "map.damaged");
}

TEST_CASE("vault/map: the loader keeps a bounded number of nodes") {
    World world{2};
    Model model(64);
    for (std::size_t at = 0; at < 64; ++at) model[at] = content(at);
    const auto root = world.write(model);
    NodeLoader tiny{world.store, fakes::mixed_id, 3};
    const MapReader map = MapReader::open(tiny, root).value();
    for (std::uint64_t at = 0; at < 64; ++at) CHECK(map.id_at(BlockIndex{at}).value() == model[at]);
    const std::size_t gets = world.store.gets;
    REQUIRE(map.id_at(BlockIndex{0}));
    CHECK(world.store.gets > gets);  // the first leaf was dropped on the way
}

TEST_CASE("vault/map: a writer stays broken after its first failure") {
    World world{4};
    Model model(64);
    for (std::size_t at = 0; at < 64; ++at) model[at] = content(at);
    const auto root = world.write(model);
    NodeLoader cold{world.store, fakes::mixed_id};
    const MapReader parent = MapReader::open(cold, root).value();
    auto map = MapWriter::open(cold, world.shape(64), &parent).value();
    const auto kept = world.store.chunks;
    world.store.chunks.clear();
    REQUIRE(map->put(BlockIndex{9}, content(1)));
    CHECK(map->finish().error().code == Errc::corrupt);
    world.store.chunks = kept;
    CHECK_FALSE(map->put(BlockIndex{9}, content(1)));
    CHECK_FALSE(map->finish());
}
