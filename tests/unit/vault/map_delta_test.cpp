// Map records that are stored as the difference from another: what is written, and that nobody ever
// keeps a delta without its base.
#include "vault/map_delta.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "vault/chunk_run.hpp"
#include "vault/map_node.hpp"
#include "vault/marks.hpp"
#include "vault/sealed_object.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

namespace {

chunk::ChunkId id_number(std::uint64_t n) {
    const auto digest = chunk::sha256(as_bytes(std::to_string(n)));
    chunk::ChunkId id;
    std::copy(digest.begin(), digest.end(), id.value.begin());
    return id;
}

/// A full node of 64 children, of which the first few are others for each salt.
Bytes node_bytes(std::uint32_t others, std::uint64_t salt) {
    MapNode node{0, 64};
    for (std::uint32_t slot = 0; slot < 64; ++slot) {
        node.append(slot, id_number(slot < others ? 1000 * salt + slot : slot));
    }
    return encode(node);
}

struct Maps {
    chunk::ChunkId id_of(ByteView bytes) const { return vault.core->keys.node_ids().id_of(bytes); }
    std::uint64_t put(ChunkRun& run, const Bytes& node) const {
        return run.put(id_of(node), node, Content::map).value().stored_bytes;
    }
    std::uint64_t put_after(ChunkRun& run, const Bytes& previous, const Bytes& node) const {
        return run.put_after(id_of(previous), id_of(node), node, Content::map).value().stored_bytes;
    }
    Bytes read(const Bytes& node) const {
        return vault.chunks()->get(id_of(node), Content::map).value();
    }
    TestVault vault;
};

constexpr std::uint64_t seal = 16;
constexpr std::uint64_t delta_head = 12 + 32 + 2 * 8 + seal;

const Bytes first = node_bytes(0, 0), second = node_bytes(1, 1), third = node_bytes(2, 2);

}  // namespace

TEST_CASE("vault/map_delta: a delta gives back the record, and only with its own base") {
    const auto base_id = id_number(7);
    const Bytes payload = map_delta(base_id, first, second).value();
    CHECK(payload.size() == delta_head - seal + 32);
    CHECK(undo_map_delta(payload, base_id, first).value() == second);
    CHECK(undo_map_delta(payload, id_number(8), first).error().id == "map.delta");
    CHECK(undo_map_delta(payload, base_id, payload).error().id == "map.delta");
    CHECK(undo_map_delta(second, base_id, first).error().id == "map.delta");
}

TEST_CASE("vault/map_delta: what does not save half is stored in full") {
    const auto id = id_number(7);
    CHECK(map_delta(id, first, node_bytes(29, 1)));
    CHECK_FALSE(map_delta(id, first, node_bytes(30, 1)));
    CHECK_FALSE(map_delta(id, first, first));
    MapNode small{0, 64};
    small.append(3, id_number(1));
    CHECK_FALSE(map_delta(id, first, encode(small)));
    MapNode above{1, 64};
    for (std::uint32_t slot = 0; slot < 64; ++slot) above.append(slot, id_number(slot));
    CHECK_FALSE(map_delta(id, first, encode(above)));
    CHECK_FALSE(map_delta(id, as_bytes("no record at all"), second));
}

TEST_CASE("vault/map_delta: a chain of nodes is one base and deltas against it, each read alone") {
    Maps maps;
    {
        const auto chunks = maps.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        CHECK(maps.put(*run, first) == first.size() + seal);
        // What this run has not indexed yet is nothing to build on.
        CHECK(maps.put_after(*run, first, third) == third.size() + seal);
        REQUIRE(run->flush());
        CHECK(maps.put_after(*run, first, second) == delta_head + 32);
        REQUIRE(run->flush());
    }
    const Bytes fourth = node_bytes(5, 4);
    {
        const auto chunks = maps.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run2").value();
        CHECK(maps.put_after(*run, second, fourth) == delta_head + 5 * 32);  // on `first`: depth 1
        CHECK(maps.put_after(*run, node_bytes(9, 9), node_bytes(9, 8)) == first.size() + seal);
        REQUIRE(run->flush());
    }
    for (const Bytes& node : {first, second, third, fourth}) CHECK(maps.read(node) == node);
    const auto chunks = maps.vault.chunks();
    const auto place = chunks->locate(maps.id_of(fourth)).value();
    CHECK(place.base == maps.id_of(first));
    CHECK(place.entry.plain_bytes == fourth.size());
    CHECK(chunks->locate_whole(maps.id_of(fourth)).error().id == "vault.chunk_missing");
}

namespace {

/// A vault where `second` lies as a delta in one pack and its base in another.
struct Apart : Maps {
    Apart() {
        const auto chunks = vault.chunks();
        {
            const auto run = ChunkRun::begin(*chunks, "run1").value();
            put(*run, first);
            REQUIRE(run->flush());
        }
        const auto run = ChunkRun::begin(*chunks, "run2").value();
        put_after(*run, first, second);
        REQUIRE(run->flush());
        base_pack = chunks->locate(id_of(first)).value().pack;
    }
    PackName base_pack;
};

}  // namespace

TEST_CASE("vault/map_delta: without its base a delta is missing, not known, and stored again") {
    Apart maps;
    REQUIRE(maps.vault.store.remove(maps.base_pack.object()));
    const auto chunks = maps.vault.chunks();
    CHECK(chunks->locate(maps.id_of(second)).error().code == Errc::corrupt);
    CHECK(chunks->get(maps.id_of(second), Content::map).error().code == Errc::corrupt);
    const auto run = ChunkRun::begin(*chunks, "run3").value();
    CHECK(maps.put(*run, second) == second.size() + seal);
    REQUIRE(run->flush());
    // Of its two copies the one that can be read is found.
    CHECK(maps.read(second) == second);
    CHECK_FALSE(maps.vault.chunks()->locate(maps.id_of(second)).value().base);
}

TEST_CASE("vault/map_delta: a writer does not rely on a delta whose base is condemned") {
    Apart maps;
    const Bytes mark = encode_mark({maps.base_pack});
    REQUIRE(put_object(*maps.vault.core, ObjectKind::condemned, "condemned/a", mark));
    const auto chunks = maps.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run3").value();
    CHECK(maps.put_after(*run, second, third) == third.size() + seal);
    CHECK(maps.put(*run, second) == second.size() + seal);
    CHECK(maps.read(second) == second);
}

TEST_CASE("vault/map_delta: a base that is damaged is nothing to build on") {
    Apart maps;
    const std::string object = maps.base_pack.object();
    Bytes bytes =
        maps.vault.store.get(object, ByteOffset{0}, maps.vault.store.size(object).value()).value();
    bytes[60] ^= std::byte{1};
    REQUIRE(maps.vault.store.remove(object));
    REQUIRE(maps.vault.store.put(object, bytes));
    const auto chunks = maps.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run3").value();
    CHECK(maps.put_after(*run, second, third) == third.size() + seal);
    REQUIRE(run->flush());
    CHECK(maps.read(third) == third);
    CHECK(chunks->get(maps.id_of(second), Content::map).error().id == "vault.chunk_damaged");
}

TEST_CASE("vault/map_delta: a chunk that is copied as a delta is copied whole as well") {
    Maps maps;
    const auto chunks = maps.vault.chunks();
    const auto ours = ChunkRun::begin(*chunks, "run1").value();
    maps.put(*ours, first);
    REQUIRE(ours->flush());
    // Another host stores it at the same time, in full.
    const auto elsewhere = maps.vault.chunks();
    const auto theirs = ChunkRun::begin(*elsewhere, "run2").value();
    CHECK(maps.put_after(*ours, first, second) == delta_head + 32);
    CHECK(maps.put(*theirs, second) == second.size() + seal);
    REQUIRE(ours->flush());
    REQUIRE(theirs->flush());
    const PackName as_delta = chunks->locate(maps.id_of(second)).value().pack;
    const PackName as_whole = elsewhere->locate_whole(maps.id_of(second)).value().pack;

    const auto run = ChunkRun::begin(*chunks, "run3").value();
    for (const PackName& pack : {as_delta, as_whole, as_delta}) {
        const auto directory = chunks->directory(pack).value();
        REQUIRE(run->copy(*directory, 0, chunks->payload(pack, 0).value()));
    }
    REQUIRE(run->flush());
    REQUIRE(maps.vault.store.remove(as_delta.object()));
    REQUIRE(maps.vault.store.remove(as_whole.object()));
    const auto later = maps.vault.chunks();
    CHECK(later->locate_whole(maps.id_of(second)));
    CHECK(maps.read(second) == second);
}
