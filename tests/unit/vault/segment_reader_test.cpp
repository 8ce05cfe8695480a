#include "vault/segment_reader.hpp"

#include <doctest/doctest.h>

#include <random>

#include "index_samples.hpp"
#include "vault/chunk_index.hpp"
#include "vault/sealed_object.hpp"
#include "vault/segment_stream.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::id_of;
using test::segment_of;

namespace {

/// One segment in a store that counts, and what opens it.
struct World {
    test::CountingStore store;
    test::TestVault vault{&store};
    std::shared_ptr<IndexMemory> memory = std::make_shared<IndexMemory>(IndexLimits{});

    ByteCount put(const Segment& segment, const std::string& name = "index/a") {
        const Bytes bytes = encode_segment(*vault.core, name, segment);
        REQUIRE(store.remove(name));
        REQUIRE(store.put(name, bytes));
        return ByteCount{bytes.size()};
    }
    std::shared_ptr<SegmentReader> open(const Segment& segment) {
        const ByteCount size = put(segment);
        return SegmentReader::open(*vault.core, "index/a", size, memory).value();
    }
    void flip(const std::string& name, std::uint64_t page) {
        const ByteCount size = store.size(name).value();
        Bytes bytes = store.get(name, ByteOffset{0}, size).value();
        bytes[object_header_bytes + page * index_page_bytes + 100] ^= std::byte{1};
        REQUIRE(store.remove(name));
        REQUIRE(store.put(name, bytes));
    }
};

std::vector<IndexHit> hits_of(SegmentReader& reader, const IndexKey& key) {
    std::vector<IndexHit> hits;
    REQUIRE(reader.find(key, hits));
    return hits;
}

using Places = std::vector<std::pair<PackName, std::uint32_t>>;
Places places(const std::vector<IndexHit>& hits) {
    Places all;
    for (const IndexHit& hit : hits) all.emplace_back(hit.pack, hit.slot);
    std::sort(all.begin(), all.end());
    return all;
}

/// Not the key of any sample. @param by +1 or -1 in its last byte
IndexKey beside(IndexKey key, int by) {
    key.back() = static_cast<std::byte>(std::to_integer<int>(key.back()) + by);
    return key;
}

}  // namespace

TEST_CASE("vault/segment reader: says of every key what a segment in memory says") {
    for (const unsigned entries : {0u, 1u, 2u, 254u, 255u, 256u, 510u, 511u, 3'000u, 60'000u}) {
        CAPTURE(entries);
        World world;
        Segment segment = segment_of(entries);
        const auto reader = world.open(segment);
        std::sort(segment.entries.begin(), segment.entries.end());
        ChunkIndex held;
        held.add(segment);
        std::size_t wrong = 0, found = 0;
        for (std::uint64_t i = 0; i < entries + 2'000; ++i) {
            const Places asked = places(hits_of(*reader, index_key(id_of(i))));
            wrong += asked == places(held.find(id_of(i))) ? 0 : 1;
            found += asked.size();
        }
        CHECK(wrong == 0);
        CHECK(found == entries);
        for (std::size_t at = 0; at < entries; at += 1 + entries / 200) {
            CHECK(hits_of(*reader, beside(segment.entries[at].key, 1)).empty());
            CHECK(hits_of(*reader, beside(segment.entries[at].key, -1)).empty());
        }
        if (entries == 0) continue;
        CHECK(hits_of(*reader, segment.entries.front().key).size() == 1);
        CHECK(hits_of(*reader, segment.entries.back().key).size() == 1);
        IndexKey lowest{}, highest;
        highest.fill(std::byte{0xff});
        CHECK(hits_of(*reader, lowest).empty());
        CHECK(hits_of(*reader, highest).empty());
    }
}

TEST_CASE("vault/segment reader: names all copies, also where they fill several pages") {
    World world;
    Segment segment = segment_of(3'000);
    const IndexKey many = index_key(id_of(1'500));
    for (std::uint16_t slot = 0; slot < 100; ++slot) {
        for (std::uint32_t pack = 0; pack < 10; ++pack) {
            if (pack != 15 || slot != 0) segment.entries.push_back({many, slot, pack});
        }
    }
    const auto reader = world.open(segment);
    CHECK(hits_of(*reader, many).size() == 1'001);
    for (std::uint64_t i = 0; i < 3'000; ++i) {
        if (i != 1'500) CHECK(hits_of(*reader, index_key(id_of(i))).size() == 1);
    }
}

TEST_CASE("vault/segment reader: finds keys that are not spread evenly") {
    World world;
    Segment segment;
    segment.packs.push_back({test::pack_named(1), 1u << 20, 8192, Content::data});
    std::mt19937_64 random{3};
    for (std::uint16_t i = 0; i < 8'000; ++i) {
        IndexKey key{};  // nearly all in one prefix, crowded at its beginning
        key[0] = static_cast<std::byte>(i % 50 == 0 ? random() : 0x40);
        key[6] = static_cast<std::byte>(i % 9 == 0 ? random() : 0);
        key[8] = static_cast<std::byte>(i >> 8);
        key[9] = static_cast<std::byte>(i);
        segment.entries.push_back({key, i, 0});
    }
    const auto reader = world.open(segment);
    std::size_t wrong = 0;
    for (const SegmentEntry& entry : segment.entries) {
        const auto hits = hits_of(*reader, entry.key);
        wrong += hits.size() == 1 && hits[0].slot == entry.slot ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("vault/segment reader: opening and asking read a few pages, whatever the size") {
    World world;
    const ByteCount size = world.put(segment_of(60'000));
    REQUIRE(size.raw() > 200 * index_page_bytes);
    world.store.gets = world.store.bytes_read = 0;
    const auto reader =
        SegmentReader::open(*world.vault.core, "index/a", size, world.memory).value();
    CHECK(world.store.gets == 3);
    CHECK(world.store.bytes_read == object_header_bytes + 3 * index_page_bytes);
    world.store.gets = 0;
    CHECK(hits_of(*reader, index_key(id_of(30'000))).size() == 1);
    CHECK(world.store.gets <= 4);  // fan-out, entries (seldom two pages), packs
    world.store.gets = 0;
    CHECK(hits_of(*reader, index_key(id_of(30'000))).size() == 1);
    CHECK(world.store.gets == 0);
}

TEST_CASE("vault/segment reader: no damaged page reads as absence") {
    World world;
    constexpr std::uint64_t entries = 3'000;
    const ByteCount size = world.put(segment_of(entries));
    const std::uint64_t pages = (size.raw() - object_header_bytes) / index_page_bytes;
    std::uint64_t errors = 0;
    for (std::uint64_t page = 0; page < pages; ++page) {
        CAPTURE(page);
        world.flip("index/a", page);
        const std::string where = "index/a is damaged in page " + std::to_string(page);
        CHECK(prove_segment(*world.vault.core, "index/a", size).error().text == where);
        // Nothing that another reader had in the cache may stand in for what is there.
        const auto memory = std::make_shared<IndexMemory>(IndexLimits{});
        const auto opened = SegmentReader::open(*world.vault.core, "index/a", size, memory);
        if (!opened) CHECK(opened.error().text == where);
        for (std::uint64_t i = 0; opened && i < entries; ++i) {
            std::vector<IndexHit> hits;
            const Status found = (*opened)->find(index_key(id_of(i)), hits);
            if (found) {
                REQUIRE(hits.size() == 1);
            } else {
                ++errors;
                REQUIRE(found.error().id == "vault.index_damaged");
                REQUIRE(found.error().text == where);
            }
        }
        if (opened) CHECK_FALSE((*opened)->has_filter());
        world.flip("index/a", page);
    }
    CHECK(errors > entries);  // in the pages of each group
}

TEST_CASE("vault/segment reader: a segment that gc took away is gone, not empty") {
    World world;
    const auto reader = world.open(segment_of(3'000));
    REQUIRE(world.store.remove("index/a"));
    std::vector<IndexHit> hits;
    CHECK(reader->find(index_key(id_of(1'000)), hits).error().code == Errc::not_found);
}

TEST_CASE("vault/segment reader: who is asked in vain gets a filter, and reads no more") {
    World world;
    const auto reader = world.open(segment_of(20'000));
    for (std::uint64_t i = 20'000; !reader->has_filter(); ++i) {
        REQUIRE(i < 20'100);
        CHECK(hits_of(*reader, index_key(id_of(i))).empty());
    }
    world.store.gets = 0;
    for (std::uint64_t i = 30'000; i < 31'000; ++i) {
        CHECK(hits_of(*reader, index_key(id_of(i))).empty());
    }
    CHECK(world.store.gets < 100);  // 3 % of them
    for (std::uint64_t i = 0; i < 20'000; i += 7) {
        CHECK(hits_of(*reader, index_key(id_of(i))).size() == 1);
    }
}

TEST_CASE("vault/segment reader: a filter that damage cut short is none") {
    World world;
    const Segment segment = segment_of(20'000);
    const ByteCount size = world.put(segment);
    const SegmentShape shape{static_cast<std::uint32_t>(segment.packs.size()), 20'000};
    world.flip("index/a", shape.padding_page() - 5);
    const auto reader =
        SegmentReader::open(*world.vault.core, "index/a", size, world.memory).value();
    std::uint64_t failed = 0;
    for (std::uint64_t i = 0; i < 40'000; ++i) {
        std::vector<IndexHit> hits;
        if (!reader->find(index_key(id_of(i)), hits)) {
            ++failed;
        } else {
            REQUIRE(hits.size() == (i < 20'000 ? 1 : 0));
        }
    }
    CHECK(failed >= 255);
    CHECK_FALSE(reader->has_filter());
    CHECK(world.memory->take_filter(IndexLimits{}.filter_bytes_max));  // given back
}

TEST_CASE("vault/segment reader: filters take what there is for them, and give it back") {
    World world;
    const Segment segment = segment_of(2'000);
    const std::size_t one = KeyFilter::bytes_for(2'000);
    world.memory = std::make_shared<IndexMemory>(IndexLimits{.filter_bytes_max = one + one / 2});
    auto first = world.open(segment);
    first->filter_from(segment.entries);
    CHECK(first->has_filter());
    const auto second = world.open(segment);
    second->filter_from(segment.entries);
    CHECK_FALSE(second->has_filter());
    for (std::uint64_t i = 0; i < 2'000; ++i) {
        CHECK(hits_of(*second, index_key(id_of(i))).size() == 1);
    }
    first.reset();
    const auto third = world.open(segment);
    third->filter_from(segment.entries);
    CHECK(third->has_filter());
}

TEST_CASE("vault/segment stream: a fan-out table that does not fit the entries is damage") {
    World world;
    Segment segment = segment_of(2'000);
    const Bytes good = encode_segment(*world.vault.core, "index/a", segment);
    const ByteCount size{good.size()};
    REQUIRE(world.store.put("index/a", good));
    CHECK(prove_segment(*world.vault.core, "index/a", size));
    // The fan-out page of a segment with other keys, sealed under the key of this one.
    const Salt salt =
        read_object_header(ByteView{good}.first(object_header_bytes), ObjectKind::index).value();
    const chunk::SealKey key = world.vault.core->keys.object_key(ObjectKind::index, salt);
    const Bytes associated =
        associated_data(world.vault.core->keys.vault_id(), ObjectKind::index, as_bytes("index/a"));
    const SegmentShape shape{20, 2'000};
    Bytes wrong = good;
    const auto page = std::span{wrong}.subspan(
        object_header_bytes + shape.fans_page() * index_page_bytes, index_page_bytes);
    Bytes content = key.open(shape.fans_page(), associated, page).value();
    content[4] ^= std::byte{1};
    key.seal(shape.fans_page(), associated, content, page);
    REQUIRE(world.store.remove("index/a"));
    REQUIRE(world.store.put("index/a", wrong));
    CHECK(prove_segment(*world.vault.core, "index/a", size).error().id == "vault.index_damaged");
    CHECK_FALSE(load_segment(*world.vault.core, "index/a"));
}
