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
