#include "vault/chunk_run.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

TEST_CASE("vault/run: what was put is read back after flush, by this and by a fresh opening") {
    TestVault vault;
    const Bytes text = test::text_block(64 << 10);
    const Bytes noise = test::noise_block(64 << 10, 1);
    {
        const auto chunks = vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        CHECK(run->put(vault.data_id(text), text, Content::data).value().stored_bytes < 10000);
        CHECK(run->put(vault.data_id(noise), noise, Content::data).value().stored_bytes ==
              noise.size() + 16);
        REQUIRE(run->flush());
        CHECK(run->get(vault.data_id(text), Content::data).value() == text);
        CHECK(run->ready_to_publish());
        run->end();
    }
    const auto chunks = vault.chunks();
    CHECK(chunks->chunk_count() == 2);
    CHECK(chunks->get(vault.data_id(text), Content::data).value() == text);
    CHECK(chunks->get(vault.data_id(noise), Content::data).value() == noise);
    CHECK(vault.store.list("runs/").value().empty());
}

TEST_CASE("vault/run: a chunk is stored once, in this run and in later ones") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const Bytes block = test::noise_block(64 << 10, 1);
    const auto id = vault.data_id(block);
    const auto first = ChunkRun::begin(*chunks, "run1").value();
    CHECK_FALSE(first->put(id, block, Content::data).value().known());
    CHECK(first->put(id, block, Content::data).value().known());
    REQUIRE(first->flush());
    CHECK(first->put(id, block, Content::data).value().known());
    const auto second = ChunkRun::begin(*chunks, "run2").value();
    CHECK(second->put(id, block, Content::data).value().known());
    const auto elsewhere = vault.chunks();
    CHECK(ChunkRun::begin(*elsewhere, "run3").value()->put(id, block, Content::data)->known());
}

TEST_CASE("vault/run: another run's chunks are unknown until an index segment names them") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const Bytes block = test::noise_block(64 << 10, 1);
    const auto id = vault.data_id(block);
    const auto first = ChunkRun::begin(*chunks, "run1").value();
    const auto second = ChunkRun::begin(*chunks, "run2").value();
    CHECK_FALSE(first->put(id, block, Content::data).value().known());
    CHECK_FALSE(second->put(id, block, Content::data).value().known());
    REQUIRE(first->flush());
    REQUIRE(second->flush());
    CHECK(chunks->chunk_count() == 2);
    CHECK(chunks->get(id, Content::data).value() == block);
}

TEST_CASE("vault/run: data is compressed as the vault says, map nodes never") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    const Bytes text = test::text_block(4096);
    CHECK(run->put(vault.data_id(text), text, Content::data).value().stored_bytes < 2000);
    const auto node_id = vault.core->keys.node_ids().id_of(text);
    CHECK(run->put(node_id, text, Content::map).value().stored_bytes == 4096 + 16);
    REQUIRE(run->flush());
    CHECK(run->get(node_id, Content::map).value() == text);
}

TEST_CASE("vault/run: counts every byte that it added to the store") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto bytes_stored = [&] {
        std::uint64_t sum = 0;
        const auto objects = vault.store.list("").value();
        for (const auto& object : objects) sum += object.size.raw();
        return sum;
    };
    const std::uint64_t before = bytes_stored();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    for (std::uint64_t i = 0; i < 10; ++i) {
        const Bytes block = test::noise_block(5000, i);
        REQUIRE(run->put(vault.data_id(block), block, Content::data));
    }
    REQUIRE(run->flush());
    CHECK(run->stored_total_bytes() == bytes_stored() - before);
}

TEST_CASE("vault/run: an empty run adds its run object alone") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    REQUIRE(run->flush());
    REQUIRE(run->ready_to_publish());
    CHECK(vault.store.list("").value().size() == 2);  // config and runs/run1.0
    run->end();
    CHECK(vault.store.list("").value().size() == 1);
}

TEST_CASE("vault/run: nothing is ready to publish before flush") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    const Bytes block = test::noise_block(5000, 1);
    REQUIRE(run->put(vault.data_id(block), block, Content::data));
    CHECK(run->ready_to_publish().error().id == "vault.not_flushed");
}

TEST_CASE("vault/run: a chunk whose pack is damaged or gone is stored again") {
    TestVault vault;
    const Bytes block = test::noise_block(5000, 1);
    const auto id = vault.data_id(block);
    {
        const auto chunks = vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        REQUIRE(run->put(id, block, Content::data));
        REQUIRE(run->flush());
        REQUIRE(vault.store.remove(chunks->packs().value().at(0).object()));
    }
    const auto chunks = vault.chunks();
    CHECK(chunks->get(id, Content::data).error().id == "vault.pack_damaged");
    CHECK(chunks->locate(id).error().code == Errc::corrupt);
    const auto run = ChunkRun::begin(*chunks, "run2").value();
    CHECK_FALSE(run->put(id, block, Content::data).value().known());
    REQUIRE(run->flush());
    CHECK(chunks->get(id, Content::data).value() == block);
}

TEST_CASE("vault/chunks: one damaged index segment leaves the others readable") {
    TestVault vault;
    std::vector<Bytes> blocks;
    for (std::uint64_t i = 0; i < 2; ++i) {
        blocks.push_back(test::noise_block(5000, i));
        const auto chunks = vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run" + std::to_string(i)).value();
        REQUIRE(run->put(vault.data_id(blocks[i]), blocks[i], Content::data));
        REQUIRE(run->flush());
    }
    const std::string name = vault.store.list("index/").value().at(0).name;
    Bytes bytes = vault.store.get(name, ByteOffset{0}, vault.store.size(name).value()).value();
    bytes[100] ^= std::byte{1};
    REQUIRE(vault.store.remove(name));
    REQUIRE(vault.store.put(name, bytes));
    const auto chunks = vault.chunks();
    CHECK(chunks->index_damage().size() == 1);
    const bool first = chunks->get(vault.data_id(blocks[0]), Content::data).has_value();
    const bool second = chunks->get(vault.data_id(blocks[1]), Content::data).has_value();
    CHECK(first != second);
    const auto lost = chunks->get(vault.data_id(blocks[first ? 1 : 0]), Content::data);
    CHECK(lost.error().id == "vault.chunk_missing");
}

TEST_CASE("vault/chunks: a segment merged away by somebody else is forgotten at refresh") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const Bytes block = test::noise_block(5000, 1);
    {
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        REQUIRE(run->put(vault.data_id(block), block, Content::data));
        REQUIRE(run->flush());
    }
    REQUIRE(vault.store.remove(vault.store.list("index/").value().at(0).name));
    REQUIRE(chunks->refresh());
    CHECK(chunks->chunk_count() == 0);
    CHECK(chunks->packs().value().empty());
}

TEST_CASE("vault/chunks: reading only; a put is refused") {
    TestVault vault;
    const auto chunks = vault.chunks();
    CHECK(chunks->put({}, {}, Content::data).error().id == "vault.read_only");
    CHECK(chunks->get({}, Content::data).error().id == "vault.chunk_missing");
}

TEST_CASE("vault/chunks: a record under the wrong id is damage although its seal is right") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    const Bytes block = test::noise_block(5000, 1);
    const auto wrong_id = vault.data_id(test::noise_block(5000, 2));
    REQUIRE(run->put(wrong_id, block, Content::data));
    REQUIRE(run->flush());
    CHECK(run->get(wrong_id, Content::data).error().id == "vault.chunk_damaged");
}

TEST_CASE("vault/chunks: ids that share their key in the index stay apart") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    chunk::ChunkId one, two, three;
    one.value.back() = std::byte{1};
    two.value.back() = std::byte{2};
    three.value.back() = std::byte{3};
    REQUIRE(run->put(one, as_bytes("one"), Content::map));
    REQUIRE(run->put(two, as_bytes("two"), Content::map));
    REQUIRE(run->flush());
    CHECK(as_text(run->get(one, Content::map).value()) == "one");
    CHECK(as_text(run->get(two, Content::map).value()) == "two");
    CHECK(run->get(three, Content::map).error().id == "vault.chunk_missing");
    CHECK_FALSE(run->put(three, as_bytes("three"), Content::map).value().known());
}
