#include <doctest/doctest.h>

#include <algorithm>

#include "index_samples.hpp"
#include "vault/chunk_index.hpp"
#include "vault/index_segment.hpp"
#include "vault/sealed_object.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::id_of;
using test::pack_named;
using test::segment_of;
using test::TestVault;

namespace {

Result<Segment> stored_and_loaded(const TestVault& vault, const Bytes& bytes) {
    REQUIRE(vault.store.remove("index/a"));
    REQUIRE(vault.store.put("index/a", bytes));
    return load_segment(*vault.core, "index/a");
}

}  // namespace

TEST_CASE("vault/index: a segment reads back sorted, whatever its size") {
    TestVault vault;
    for (const unsigned entries : {0u, 1u, 254u, 255u, 256u, 510u, 511u, 20'000u, 300'000u}) {
        CAPTURE(entries);
        Segment segment = segment_of(entries);
        const Bytes bytes = encode_segment(*vault.core, "index/a", segment);
        CHECK((bytes.size() - object_header_bytes) % index_page_bytes == 0);
        const auto loaded = stored_and_loaded(vault, bytes);
        REQUIRE(loaded);
        CHECK(loaded->packs == segment.packs);
        std::sort(segment.entries.begin(), segment.entries.end());
        CHECK(loaded->entries == segment.entries);
    }
}

TEST_CASE("vault/index: any flipped byte of a segment is found, and where it is cut") {
    TestVault vault;
    const Bytes bytes = encode_segment(*vault.core, "index/a", segment_of(700));
    for (std::size_t at = 0; at < bytes.size(); at += 61) {
        Bytes changed = bytes;
        changed[at] ^= std::byte{0x20};
        CHECK(stored_and_loaded(vault, changed).error().id == "vault.index_damaged");
        changed.resize(at);
        CHECK(stored_and_loaded(vault, changed).error().id == "vault.index_damaged");
    }
    Bytes longer = bytes;
    longer.resize(bytes.size() + index_page_bytes);
    CHECK(stored_and_loaded(vault, longer).error().id == "vault.index_damaged");
}

TEST_CASE("vault/index: pages that change places, or a segment under another name, are damage") {
    TestVault vault;
    const Bytes bytes = encode_segment(*vault.core, "index/a", segment_of(700));
    const auto page = [](Bytes& in, std::size_t number) {
        return std::span{in}.subspan(object_header_bytes + number * index_page_bytes,
                                     index_page_bytes);
    };
    Bytes swapped = bytes;
    std::swap_ranges(page(swapped, 3).begin(), page(swapped, 3).end(), page(swapped, 4).begin());
    CHECK(stored_and_loaded(vault, swapped).error().id == "vault.index_damaged");
    REQUIRE(vault.store.put("index/b", bytes));
    CHECK(load_segment(*vault.core, "index/b").error().id == "vault.index_damaged");
}

TEST_CASE("vault/index: entries that name no record are refused") {
    TestVault vault;
    for (const SegmentEntry wrong : {SegmentEntry{{}, 0, 5}, SegmentEntry{{}, 100, 0}}) {
        Segment segment = segment_of(10);
        segment.entries.push_back(wrong);
        CHECK(
            stored_and_loaded(vault, encode_segment(*vault.core, "index/a", segment)).error().id ==
            "vault.index_damaged");
    }
}

TEST_CASE("vault/index: finds every chunk of many segments, and nothing that is not there") {
    ChunkIndex index;
    for (std::uint64_t first = 0; first < 100'000; first += 2'500) {
        Segment segment = segment_of(2'500, first);
        std::sort(segment.entries.begin(), segment.entries.end());
        index.add(segment);
    }
    CHECK(index.entries() == 100'000);
    CHECK(index.packs().size() == 1'000);
    CHECK(std::ranges::is_sorted(index.packs()));
    std::size_t wrong = 0;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
        const auto hits = index.find(id_of(i));
        wrong +=
            hits.size() == 1 && hits[0].slot == i % 100 && hits[0].pack == pack_named(i - i % 100)
                ? 0
                : 1;
    }
    CHECK(wrong == 0);
    for (std::uint64_t i = 100'000; i < 101'000; ++i) CHECK(index.find(id_of(i)).empty());
}

TEST_CASE("vault/index: all copies of a chunk are named, those not condemned first") {
    ChunkIndex index;
    for (std::uint64_t copy = 0; copy < 3; ++copy) {
        Segment segment;
        segment.packs.push_back({pack_named(copy), 100, 1, Content::data});
        segment.entries.push_back({index_key(id_of(1)), 0, 0});
        index.add(segment);
    }
    index.condemn(pack_named(0));
    index.condemn(pack_named(2));
    const auto hits = index.find(id_of(1));
    REQUIRE(hits.size() == 3);
    CHECK(hits[0].pack == pack_named(1));
    CHECK_FALSE(hits[0].condemned);
    CHECK(hits[1].condemned);
    CHECK(hits[2].condemned);
}
