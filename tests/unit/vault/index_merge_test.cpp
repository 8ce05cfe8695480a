#include "vault/gc/index_merge.hpp"

#include <doctest/doctest.h>

#include "index_samples.hpp"
#include "vault/segment_reader.hpp"
#include "vault/vault_index.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::id_of;
using test::pack_named;
using test::segment_of;

namespace {

constexpr gc::MergeOptions tiny{.entries_wanted = 1'000, .segments_max = 4, .small_max = 8};

struct World {
    test::CountingStore store;
    test::TestVault vault{&store};

    void put(const Segment& segment) {
        const std::string name = new_segment_name(vault.core->random);
        REQUIRE(store.put(name, encode_segment(*vault.core, name, segment)));
    }
    std::vector<Segment> segments() {
        std::vector<Segment> all;
        const auto objects = store.list("index/").value();
        for (const auto& object : objects) {
            all.push_back(load_segment(*vault.core, object.name).value());
        }
        return all;
    }
    std::unique_ptr<VaultIndex> index() {
        vault.core->index_limits.held_bytes_max = 0;
        auto index = std::make_unique<VaultIndex>(*vault.core);
        const auto objects = store.list("index/").value();
        for (const auto& object : objects) REQUIRE(index->load(object));
        return index;
    }
};

}  // namespace

TEST_CASE("vault/index merge: many segments become few, each of keys of its own") {
    World world;
    constexpr std::uint64_t chunks = 3'500;
    for (std::uint64_t first = 0; first < chunks; first += 100) {
        world.put(segment_of(100, first));
    }
    REQUIRE(gc::rewrite_index(*world.vault.core, {}, tiny));
    const auto merged = world.segments();
    REQUIRE(merged.size() == 4);
    std::vector<std::pair<IndexKey, IndexKey>> ranges;
    std::size_t entries = 0;
    for (const Segment& segment : merged) {
        ranges.emplace_back(segment.entries.front().key, segment.entries.back().key);
        entries += segment.entries.size();
        CHECK(segment.entries.size() > 700);
    }
    CHECK(entries == chunks);
    std::sort(ranges.begin(), ranges.end());
    for (std::size_t i = 1; i < ranges.size(); ++i) CHECK(ranges[i - 1].second < ranges[i].first);
    const auto index = world.index();
    CHECK(index->packs().value().size() == chunks / 100);
    for (std::uint64_t i = 0; i < chunks; ++i) {
        const IndexAnswer answer = index->find_stored(id_of(i));
        REQUIRE(answer.hits.size() == 1);
        CHECK(answer.hits[0].pack == pack_named(i - i % 100));
        CHECK(answer.hits[0].slot == i % 100);
    }
    for (std::uint64_t i = chunks; i < chunks + 500; ++i) {
        CHECK(index->find_stored(id_of(i)).hits.empty());
    }
}

TEST_CASE("vault/index merge: what dropped packs hold is left out, copies stay, twins become one") {
    World world;
    world.put(segment_of(300));
    world.put(segment_of(300));  // the same packs: a merge that was cut short left it
    Segment copy = segment_of(100);
    copy.packs[0].name = pack_named(77);
    world.put(copy);
    REQUIRE(gc::rewrite_index(*world.vault.core, {pack_named(100)}, tiny));
    REQUIRE(world.segments().size() == 1);
    const auto index = world.index();
    CHECK(index->entries() == 300);
    for (std::uint64_t i = 0; i < 300; ++i) {
        const std::size_t expected = i < 100 ? 2 : i < 200 ? 0 : 1;
        CHECK(index->find_stored(id_of(i)).hits.size() == expected);
    }
    CHECK(index->packs().value() == [] {
        std::vector<PackName> names{pack_named(0), pack_named(200), pack_named(77)};
        std::sort(names.begin(), names.end());
        return names;
    }());
}

TEST_CASE("vault/index merge: where nothing is to be done, nothing is written") {
    World world;
    for (std::uint64_t first = 0; first < 3'000; first += 300) world.put(segment_of(300, first));
    REQUIRE(gc::rewrite_index(*world.vault.core, {}, tiny));
    const auto before = world.store.list("index/").value();
    REQUIRE(gc::rewrite_index(*world.vault.core, {pack_named(9'999)}, tiny));
    REQUIRE(gc::tidy_index(*world.vault.core, tiny));
    const auto after = world.store.list("index/").value();
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) CHECK(after[i].name == before[i].name);
}

TEST_CASE("vault/index merge: many small segments become one, beside those that are large") {
    World world;
    // Small is what has at most half of what is wanted; even one entry takes three pages.
    const gc::MergeOptions options{.entries_wanted = 4'000, .segments_max = 4, .small_max = 8};
    world.put(segment_of(2'000));
    const std::string large = world.store.list("index/").value().at(0).name;
    for (std::uint64_t first = 2'000; first < 2'009; ++first) world.put(segment_of(1, first));
    REQUIRE(gc::tidy_index(*world.vault.core, options));
    const auto left = world.store.list("index/").value();
    CHECK(left.size() == 2);
    CHECK(std::any_of(left.begin(), left.end(),
                      [&](const ObjectInfo& object) { return object.name == large; }));
    CHECK(world.index()->entries() == 2'009);
    // When those that are large are many, they become few as well.
    for (std::uint64_t first = 10'000; first < 50'000; first += 2'000) {
        world.put(segment_of(2'000, first));
    }
    REQUIRE(gc::tidy_index(*world.vault.core, options));
    CHECK(world.store.list("index/").value().size() == 4);
    CHECK(world.index()->entries() == 42'009);
}

TEST_CASE("vault/index merge: a damaged segment stops it before anything is changed") {
    World world;
    world.put(segment_of(600));
    world.put(segment_of(600, 600));
    const auto before = world.store.list("index/").value();
    Bytes bytes = world.store.get(before[1].name, ByteOffset{0}, before[1].size).value();
    bytes[bytes.size() - 5] ^= std::byte{1};
    REQUIRE(world.store.remove(before[1].name));
    REQUIRE(world.store.put(before[1].name, bytes));
    const Status rewritten = gc::rewrite_index(*world.vault.core, {pack_named(0)}, tiny);
    REQUIRE_FALSE(rewritten);
    CHECK(rewritten.error().id == "vault.index_damaged");
    for (const auto& object : before) CHECK(world.store.size(object.name));
}
