// A vault whose index is too large to be held in memory: all of it is asked in the store.
#include <doctest/doctest.h>

#include "index_samples.hpp"
#include "support/vault_lab.hpp"
#include "vault/chunk_run.hpp"
#include "vault/gc/index_merge.hpp"
#include "vault/sealed_object.hpp"
#include "vault/vault_index.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;
using test::VaultLab;

namespace {

constexpr IndexLimits nothing_held{.held_bytes_max = 0, .page_bytes_max = 0, .filter_bytes_max = 0};
constexpr std::uint64_t chunk_count = 2'000;

Bytes chunk_of(std::uint64_t number) {
    return test::noise_block(64, number);
}

/// A vault of many small chunks in one segment of several pages.
struct ManyChunks {
    TestVault vault;

    ManyChunks() {
        vault.core->index_limits = nothing_held;
        const auto chunks = vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "first").value();
        for (std::uint64_t i = 0; i < chunk_count; ++i) {
            REQUIRE(run->put(id(i), chunk_of(i), Content::data));
        }
        REQUIRE(run->flush());
        run->end();
    }
    [[nodiscard]] chunk::ChunkId id(std::uint64_t number) const {
        return vault.data_id(chunk_of(number));
    }
    [[nodiscard]] std::string segment() const {
        return vault.store.list("index/").value().at(0).name;
    }
    /// Damages a page of entries that is neither the first nor the last.
    void damage() {
        const std::string name = segment();
        const ByteCount size = vault.store.size(name).value();
        Bytes bytes = vault.store.get(name, ByteOffset{0}, size).value();
        bytes[bytes.size() - 3 * index_page_bytes + 50] ^= std::byte{1};
        REQUIRE(vault.store.remove(name));
        REQUIRE(vault.store.put(name, bytes));
    }
};

Bytes disk_of(std::uint64_t seed, std::size_t blocks = 40) {
    return test::noise_block(blocks * VaultLab::chunk_bytes, seed);
}

}  // namespace

TEST_CASE("vault/stored index: chunks are found, and known to later runs") {
    ManyChunks world;
    const auto chunks = world.vault.chunks();
    CHECK(chunks->chunk_count() == chunk_count);
    CHECK(chunks->packs().value().size() == 1);
    for (std::uint64_t i = 0; i < chunk_count; i += 3) {
        CHECK(chunks->get(world.id(i), Content::data).value() == chunk_of(i));
    }
    CHECK(chunks->locate(world.id(chunk_count)).error().id == "vault.chunk_missing");
    const auto run = ChunkRun::begin(*chunks, "second").value();
    CHECK(run->put(world.id(7), chunk_of(7), Content::data).value().known());
    CHECK_FALSE(
        run->put(world.id(chunk_count), chunk_of(chunk_count), Content::data).value().known());
    REQUIRE(run->flush());
    CHECK(run->get(world.id(chunk_count), Content::data).value() == chunk_of(chunk_count));
}

TEST_CASE("vault/stored index: a damaged page is an error for who reads, never a missing chunk") {
    ManyChunks world;
    world.damage();
    const auto chunks = world.vault.chunks();
    CHECK(chunks->index_damage().empty());  // opening does not read that page
    std::size_t hidden = 0;
    for (std::uint64_t i = 0; i < chunk_count; ++i) {
        const auto bytes = chunks->get(world.id(i), Content::data);
        if (bytes) continue;
        ++hidden;
        REQUIRE(bytes.error().id == "vault.index_damaged");
        REQUIRE(bytes.error().text.find(world.segment() + " is damaged in page") == 0);
    }
    CHECK(hidden >= 255);
    REQUIRE(chunks->prove_index({}));
    REQUIRE(chunks->index_damage().size() == 1);
    CHECK(chunks->index_damage()[0].find(world.segment()) == 0);
}

TEST_CASE("vault/stored index: who writes stores again what a damaged page may hide, and says so") {
    ManyChunks world;
    world.damage();
    const auto chunks = world.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "second").value();
    std::size_t again = 0;
    for (std::uint64_t i = 0; i < chunk_count; ++i) {
        again += run->put(world.id(i), chunk_of(i), Content::data).value().known() ? 0 : 1;
    }
    REQUIRE(run->flush());
    CHECK(again >= 255);
    CHECK(again < 300);
    CHECK(chunks->index_damage().size() == 1);
    for (std::uint64_t i = 0; i < chunk_count; ++i) {
        REQUIRE(chunks->get(world.id(i), Content::data).value() == chunk_of(i));
    }
}

TEST_CASE("vault/stored index: segments that gc merges are found again by who has it open") {
    ManyChunks world;
    const auto chunks = world.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "second").value();
    const auto merge = [&](std::uint64_t number) {
        const std::string name = new_segment_name(world.vault.core->random);
        const Bytes other =
            encode_segment(*world.vault.core, name, test::segment_of(100, 1000 * number));
        REQUIRE(world.vault.store.put(name, other));
        REQUIRE(gc::rewrite_index(*world.vault.core, {}));
    };
    merge(1);
    CHECK(chunks->get(world.id(5), Content::data).value() == chunk_of(5));
    merge(2);
    CHECK(run->put(world.id(6), chunk_of(6), Content::data).value().known());
    merge(3);
    CHECK(chunks->packs().value().size() == 4);
    merge(4);
    CHECK(chunks->locate(world.id(chunk_count)).error().id == "vault.chunk_missing");
}

namespace {

/// An index that gc never merged: segments of a hundred chunks each, of which only reading tells
/// what they have.
struct ManySegments {
    static constexpr std::uint64_t segments = 40, each = 100;
    test::CountingStore store;
    TestVault vault{&store};
    std::unique_ptr<VaultIndex> index;

    ManySegments() {
        vault.core->index_limits = nothing_held;
        index = std::make_unique<VaultIndex>(*vault.core);
        for (std::uint64_t at = 0; at < segments; ++at) {
            const std::string name = new_segment_name(vault.core->random);
            const Bytes bytes =
                encode_segment(*vault.core, name, test::segment_of(each, at * each));
            REQUIRE(store.put(name, bytes));
            REQUIRE(index->load({name, ByteCount{bytes.size()}}));
        }
    }
    template <class Look>
    std::uint64_t gets_of(Look&& look) {
        const std::uint64_t before = store.gets;
        look();
        return store.gets - before;
    }
};

}  // namespace

TEST_CASE("vault/stored index: whoever must know asks all segments, a writer few of them") {
    ManySegments world;
    const auto stranger = test::id_of(world.segments * world.each + 1);
    const auto all = world.gets_of([&] { CHECK(world.index->find_stored(stranger).hits.empty()); });
    const auto few =
        world.gets_of([&] { CHECK(world.index->find_stored(stranger, 8).hits.empty()); });
    CHECK(all > 30);
    CHECK(few <= 8 * 2);
    // Others each time: after five lookups every segment was asked.
    const auto wanted = test::id_of(37 * world.each + 3);
    std::size_t found = 0;
    for (int i = 0; i < 5; ++i) found += world.index->find_stored(wanted, 8).hits.size();
    CHECK(found >= 1);
    CHECK(found <= 2);
}

TEST_CASE("vault/stored index: neighbours of a chunk that was found cost a page, not a search") {
    ManySegments world;
    REQUIRE(world.index->find_stored(test::id_of(21 * world.each)).hits.size() == 1);
    for (std::uint64_t i = 1; i < world.each; ++i) {
        const auto gets = world.gets_of([&] {
            const auto hits = world.index->find_near(test::id_of(21 * world.each + i));
            REQUIRE(hits.size() == 1);
            CHECK(hits[0].pack == test::pack_named(21 * world.each));
            CHECK(hits[0].slot == i);
        });
        CHECK(gets <= 3);
    }
    CHECK(world.index->find_near(test::id_of(22 * world.each)).empty());
}

TEST_CASE(
    "vault/stored index: where one lookup of many finds a chunk, a writer knows those around it") {
    ManyChunks world;  // one segment more than its own, each with nothing of interest
    for (std::uint64_t at = 0; at < 60; ++at) {
        const std::string name = new_segment_name(world.vault.core->random);
        REQUIRE(world.vault.store.put(
            name, encode_segment(*world.vault.core, name, test::segment_of(50, 10'000 + at * 50))));
    }
    const auto chunks = world.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "second").value();
    std::size_t again = 0;
    for (std::uint64_t i = 0; i < chunk_count; ++i) {
        again += run->put(world.id(i), chunk_of(i), Content::data).value().known() ? 0 : 1;
    }
    CHECK(again <= 16);  // each of the 61 has had its turn by then
    for (std::uint64_t i = 0; i < chunk_count; i += 7) {
        REQUIRE(chunks->get(world.id(i), Content::data).value() == chunk_of(i));
    }
}

TEST_CASE("vault/stored index: a whole life: backups, increments, forgetting, gc, restore, check") {
    MemoryStore store;
    VaultLab lab{store, nothing_held};
    store.keep_times(lab.clock());
    Bytes disk = disk_of(1);
    std::vector<std::pair<Point, Bytes>> points;
    points.emplace_back(lab.backup({{"vda", disk}}).value(), disk);
    for (std::uint64_t i = 0; i < 12; ++i) {
        const Bytes before = disk;
        const Bytes fresh = disk_of(100 + i, 2);
        std::copy(fresh.begin(), fresh.end(),
                  disk.begin() + static_cast<std::ptrdiff_t>(i * 3 * VaultLab::chunk_bytes));
        const std::vector<VaultLab::Disk> old{{"vda", before}};
        const Point parent = points.back().first;
        points.emplace_back(lab.backup({{"vda", disk}}, &parent, &old).value(), disk);
    }
    VaultLab reader{store, nothing_held};  // opened before gc does anything
    REQUIRE(lab.vault().forget(points[0].first.id));
    REQUIRE(lab.vault().forget(points[5].first.id));
    lab.clock().pass(std::chrono::hours{1});
    REQUIRE(lab.vault().collect({}, {}, {}));
    CHECK(store.list("index/").value().size() == 1);
    for (std::size_t i = 0; i < points.size(); ++i) {
        if (i == 0 || i == 5) continue;
        CHECK(lab.read(points[i].first.disks.at(0)).value() == points[i].second);
        CHECK(reader.read(points[i].first.disks.at(0)).value() == points[i].second);
    }
    const auto found = lab.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const auto& damage : found.damage) FAIL_CHECK(damage.text);
}

TEST_CASE("vault/stored index: check names the damaged page and what it hits; gc deletes nothing") {
    MemoryStore store;
    VaultLab lab{store, nothing_held};
    store.keep_times(lab.clock());
    const auto point = lab.backup({{"vda", disk_of(1, 1'200)}}).value();
    const std::string name = store.list("index/").value().at(0).name;
    Bytes bytes = store.get(name, ByteOffset{0}, store.size(name).value()).value();
    bytes[bytes.size() - 3 * index_page_bytes + 50] ^= std::byte{1};
    REQUIRE(store.remove(name));
    REQUIRE(store.put(name, bytes));
    lab.reopen();
    const auto found = lab.vault().check(CheckDepth::structure, {}, {}).value();
    REQUIRE(found.damage.size() > 1);
    CHECK(found.damage[0].text.find(name + " is damaged in page") == 0);
    CHECK(std::any_of(found.damage.begin(), found.damage.end(), [&](const DamageFound& damage) {
        return damage.point == point.id &&
               damage.text.find("is damaged in page") != std::string::npos;
    }));
    CHECK(lab.vault().collect({}, {}, {}).error().id == "gc.damage");
    CHECK(store.size(name));
}
