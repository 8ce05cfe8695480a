#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "map_world.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::content;
using test::Model;
using test::World;

namespace {

void check_next_data(World& world, const chunk::ChunkId& root, const Model& model) {
    const MapReader map = world.open(root);
    for (std::uint64_t from = 0; from <= model.size(); ++from) {
        std::uint64_t expected = from;
        while (expected < model.size() && !model[expected]) ++expected;
        const auto found = map.next_data(BlockIndex{from}).value();
        CHECK(found.has_value() == (expected < model.size()));
        if (found) CHECK(found->raw() == expected);
    }
}

void check_diff(World& world, const chunk::ChunkId& a, const chunk::ChunkId& b, const Model& in_a,
                const Model& in_b) {
    const MapReader map_a = world.open(a), map_b = world.open(b);
    const auto at = [](const Model& model, std::uint64_t i) {
        return i < model.size() ? model[i] : ChildId{};
    };
    std::uint64_t next = 0;
    const auto skip_equal = [&] {
        while (next < std::max(in_a.size(), in_b.size()) && at(in_a, next) == at(in_b, next))
            ++next;
    };
    REQUIRE(diff_maps(world.nodes, map_a, map_b,
                      [&](BlockIndex block, const ChildId& id_a, const ChildId& id_b) -> Status {
                          skip_equal();
                          CHECK(block.raw() == next);
                          CHECK(id_a == at(in_a, next));
                          CHECK(id_b == at(in_b, next));
                          ++next;
                          return {};
                      }));
    skip_equal();
    CHECK(next == std::max(in_a.size(), in_b.size()));
}

// Every disk of `blocks` blocks with content 0 (zero), 1 or 2.
std::vector<Model> all_models(std::uint64_t blocks) {
    std::vector<Model> all{Model{}};
    for (std::uint64_t at = 0; at < blocks; ++at) {
        std::vector<Model> longer;
        for (const Model& model : all) {
            for (const std::uint64_t n : {0u, 1u, 2u}) {
                Model next = model;
                next.push_back(n == 0 ? ChildId{} : ChildId{content(n)});
                longer.push_back(next);
            }
        }
        all = std::move(longer);
    }
    return all;
}

}  // namespace

TEST_CASE("vault/map: every small disk after every other, of every size, reads as its model") {
    World world{2};
    std::vector<std::pair<Model, chunk::ChunkId>> disks;
    for (const std::uint64_t blocks : {0u, 1u, 2u, 3u, 5u}) {
        for (const Model& model : all_models(blocks)) {
            const auto root = world.write(model);
            CHECK(world.read(root) == model);
            check_next_data(world, root, model);
            disks.emplace_back(model, root);
        }
    }
    for (std::size_t a = 0; a < disks.size(); ++a) {
        for (std::size_t b = a % 7; b < disks.size(); b += 7) {
            const MapReader parent = world.open(disks[a].second);
            auto map = world.writer(disks[b].first.size(), &parent);
            for (std::size_t at = disks[b].first.size(); at-- > 0;) {
                const ChildId& now = disks[b].first[at];
                const ChildId before = at < disks[a].first.size() ? disks[a].first[at] : ChildId{};
                if (now != before) REQUIRE(map->put(BlockIndex{at}, now));
            }
            REQUIRE(map->finish().value() == disks[b].second);
            if (b % 5 == 0) {
                check_diff(world, disks[a].second, disks[b].second, disks[a].first, disks[b].first);
            }
        }
    }
}

TEST_CASE("vault/map: every range of zeros over every small disk") {
    World world{2};
    for (const std::uint64_t blocks : {4u, 5u, 7u}) {
        Model full(blocks, content(1));
        const auto root = world.write(full);
        const MapReader parent = world.open(root);
        for (std::uint64_t first = 0; first < blocks; ++first) {
            for (std::uint64_t count = 0; count <= blocks - first; ++count) {
                Model model = full;
                std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(first), count, ChildId{});
                auto map = world.writer(blocks, &parent);
                REQUIRE(map->put_zeros(BlockIndex{first}, count));
                CHECK(map->finish().value() == world.write(model));
            }
        }
    }
}

TEST_CASE("vault/map: random increments, growth and shrinking equal a model, with any memory") {
    for (const std::uint32_t seed : {1u, 2u, 3u, 4u, 5u, 6u}) {
        CAPTURE(seed);
        std::mt19937_64 random{seed};
        World world{seed % 2 == 0 ? 4u : 8u};
        Model model(random() % 300);
        chunk::ChunkId root = world.write(model);
        for (int step = 0; step < 30; ++step) {
            const MapReader parent = world.open(root);
            if (random() % 3 == 0) model.resize(random() % 600);
            auto map = world.writer(model.size(), &parent, {.units_max = random() % 60});
            for (std::uint64_t writes = random() % 40; writes-- > 0 && !model.empty();) {
                const std::uint64_t at = random() % model.size();
                if (random() % 4 == 0) {
                    const std::uint64_t count = random() % (model.size() - at + 1);
                    std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(at), count, ChildId{});
                    REQUIRE(map->put_zeros(BlockIndex{at}, count));
                } else {
                    model[at] = random() % 5 == 0 ? ChildId{} : ChildId{content(random() % 50)};
                    REQUIRE(map->put(BlockIndex{at}, model[at]));
                }
            }
            const chunk::ChunkId before = root;
            root = map->finish().value();
            REQUIRE(world.read(root) == model);
            REQUIRE(world.write(model) == root);  // the history leaves no trace in the root
            check_diff(world, before, root, world.read(before), model);
        }
    }
}

TEST_CASE("vault/map: an increment without changes has the same root and writes nothing") {
    World world{4};
    Model model(100);
    for (std::size_t at = 0; at < 100; at += 3) model[at] = content(at);
    const auto root = world.write(model);
    const std::size_t puts = world.store.puts;
    const MapReader parent = world.open(root);
    auto untouched = world.writer(100, &parent);
    CHECK(untouched->finish().value() == root);
    auto same = world.writer(100, &parent);
    for (std::size_t at = 0; at < 100; ++at) REQUIRE(same->put(BlockIndex{at}, model[at]));
    CHECK(same->finish().value() == root);
    CHECK(world.store.puts == puts);
}

TEST_CASE("vault/map: one changed block writes one node for each level and a root") {
    World world{4};
    Model model(256, content(1));
    for (std::size_t at = 0; at < model.size(); ++at) model[at] = content(at);
    const auto root = world.write(model);
    const std::size_t puts = world.store.puts;
    const MapReader parent = world.open(root);
    auto map = world.writer(256, &parent);
    REQUIRE(map->put(BlockIndex{77}, content(1000)));
    const auto next = map->finish().value();
    CHECK(world.store.puts - puts == 4 + 1);
    int differing = 0;
    const MapReader b = world.open(next);
    NodeLoader cold{world.store, fakes::mixed_id};
    const std::size_t gets = world.store.gets;
    REQUIRE(
        diff_maps(cold, parent, b, [&](BlockIndex block, const ChildId&, const ChildId&) -> Status {
            CHECK(block.raw() == 77);
            ++differing;
            return {};
        }));
    CHECK(differing == 1);
    CHECK(world.store.gets - gets == 2 * 4);
}

TEST_CASE("vault/map: a full disk is written as it comes, whatever the order of arrival") {
    World world{8};
    Model model;
    for (std::uint64_t at = 0; at < 4096; ++at) model.push_back(content(at));
    const auto root = world.write(model);
    auto map = world.writer(4096, nullptr);
    std::vector<std::thread> threads;
    for (std::uint64_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            for (std::uint64_t at = thread; at < 4096; at += 4) {
                REQUIRE(map->put(BlockIndex{(at * 1237) % 4096}, model[(at * 1237) % 4096]));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    const std::size_t puts = world.store.puts;
    CHECK(map->finish().value() == root);
    CHECK(world.store.puts == puts);
}

TEST_CASE("vault/map: a sparse 16 TiB disk costs what it holds") {
    World world{64};
    const auto shape = MapShape::make(ByteCount{16ull << 40}, 64u << 10, 64).value();
    auto map = MapWriter::open(world.nodes, shape, nullptr).value();
    REQUIRE(map->put_zeros(BlockIndex{0}, 1000));
    REQUIRE(map->put(BlockIndex{1000}, content(1)));
    REQUIRE(map->put_zeros(BlockIndex{1001}, shape.blocks() - 1002));
    REQUIRE(map->put(BlockIndex{shape.blocks() - 1}, content(2)));
    const auto root = map->finish().value();
    CHECK(world.store.puts == 4 + 4 + 1 + 1);
    const MapReader read = world.open(root);
    CHECK(read.id_at(BlockIndex{1000}).value() == content(1));
    CHECK(read.next_data(BlockIndex{0}).value() == BlockIndex{1000});
    CHECK(read.next_data(BlockIndex{1001}).value() == BlockIndex{shape.blocks() - 1});
    auto zeroed = MapWriter::open(world.nodes, shape, &read).value();
    REQUIRE(zeroed->put_zeros(BlockIndex{0}, shape.blocks()));
    auto empty = MapWriter::open(world.nodes, shape, nullptr).value();
    CHECK(zeroed->finish().value() == empty->finish().value());
}

TEST_CASE("vault/map: the root tells sizes, chunk sizes and fan-outs apart, also of empty disks") {
    fakes::MemoryChunkStore store;
    NodeLoader nodes{store, fakes::mixed_id};
    std::vector<chunk::ChunkId> roots;
    const auto add = [&](std::uint64_t size, std::uint32_t chunk, std::uint32_t fan_out) {
        const auto shape = MapShape::make(ByteCount{size}, chunk, fan_out).value();
        roots.push_back(MapWriter::open(nodes, shape, nullptr).value()->finish().value());
    };
    add(0, 16, 4);
    add(1, 16, 4);
    add(2, 16, 4);
    add(2, 32, 4);
    add(2, 16, 8);
    std::sort(roots.begin(), roots.end());
    CHECK(std::adjacent_find(roots.begin(), roots.end()) == roots.end());
}
