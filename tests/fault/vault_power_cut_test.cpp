// I1 for chunks: whatever fails, and whenever, a point that could be published can be read, an
// index names only durable packs, and the next run works.
#include <doctest/doctest.h>

#include "fakes/fault_store.hpp"
#include "unit/vault/vault_fixture.hpp"
#include "vault/chunk_run.hpp"
#include "vault/pack_check.hpp"
#include "vault/sealed_object.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using fakes::Fault;
using test::TestVault;

namespace {

constexpr std::uint64_t blocks_per_run = 6;

Bytes block_of(std::uint64_t run, std::uint64_t i) {
    return test::noise_block(3000, run * (blocks_per_run - 2) + i);  // two are the run's before
}

/// A block of which every run writes a page: stored as a difference from the first run's.
Bytes page_block_of(std::uint64_t run) {
    Bytes block = test::noise_block(16 << 10, 99);
    block[5000] = static_cast<std::byte>(run);
    return block;
}

/// One whole run; the point is an object with the run's number.
Status back_up(StoredChunks& chunks, std::uint64_t number) {
    const std::string id = std::to_string(number);
    SP_ASSIGN(const auto run, ChunkRun::begin(chunks, id));
    const VaultKeys& keys = chunks.core().keys;
    for (std::uint64_t i = 0; i < blocks_per_run; ++i) {
        const Bytes block = block_of(number, i);
        SP_TRY(run->put(keys.data_ids().id_of(block), block, Content::data));
        SP_TRY(run->put(keys.node_ids().id_of(block), block, Content::map));
    }
    const Bytes page = page_block_of(number), before = page_block_of(number - 1);
    SP_TRY(number == 0 ? run->put(keys.data_ids().id_of(page), page, Content::data)
                       : run->put_after(keys.data_ids().id_of(before), keys.data_ids().id_of(page),
                                        page, Content::data));
    SP_TRY(run->flush());
    SP_TRY(run->ready_to_publish());
    SP_TRY(put_object(chunks.core(), ObjectKind::point, "points/" + id, as_bytes(id)));
    run->end();
    return {};
}

void check_point_reads(StoredChunks& chunks, std::uint64_t number) {
    const VaultKeys& keys = chunks.core().keys;
    for (std::uint64_t i = 0; i < blocks_per_run; ++i) {
        const Bytes block = block_of(number, i);
        const auto data = chunks.get(keys.data_ids().id_of(block), Content::data);
        const auto node = chunks.get(keys.node_ids().id_of(block), Content::map);
        CHECK((data && *data == block));
        CHECK((node && *node == block));
    }
    const Bytes page = page_block_of(number);
    const auto data = chunks.get(keys.data_ids().id_of(page), Content::data);
    CHECK((data && *data == page));
}

bool has_point(BlockStore& store, std::uint64_t number) {
    return store.size("points/" + std::to_string(number)).has_value();
}

void check_vault(const TestVault& vault) {
    const auto chunks = vault.chunks();
    CHECK(chunks->index_damage().empty());
    const auto packs = chunks->packs().value();
    for (const PackName& pack : packs) {
        CHECK(verify_pack(*vault.core, pack).value().whole());
    }
    for (std::uint64_t number = 0; number < 3; ++number) {
        if (has_point(vault.store, number)) check_point_reads(*chunks, number);
    }
}

/// Run 0 is sound, run 1 meets the fault, run 2 comes after it. @return whether the fault came
bool sweep_step(Fault fault, std::size_t at) {
    TestVault vault;
    REQUIRE(back_up(*vault.chunks(), 0));
    fakes::FaultStore faulty{vault.store, fault, at};
    auto core = std::make_shared<VaultCore>(faulty, load_config(vault.store).value(),
                                            chunk::SecretKey::from(test::open_key(vault)).value(),
                                            vault.clock, env::random_bytes);
    auto chunks = StoredChunks::open(core);
    const Status done = chunks ? back_up(**chunks, 1) : fail(chunks.error());
    const bool struck = faulty.struck();
    chunks = fail(Errc::io, "test", "the process ended");
    if (done) CHECK(has_point(vault.store, 1));
    check_vault(vault);
    CHECK(back_up(*vault.chunks(), 2));
    CHECK(has_point(vault.store, 0));
    CHECK(has_point(vault.store, 2));
    check_vault(vault);
    return struck;
}

}  // namespace

TEST_CASE("fault/vault: power cut, failure or lost answer at every call of a run") {
    for (const Fault fault :
         {Fault::cut, Fault::cut_after, Fault::fail, Fault::full, Fault::lost, Fault::short_read}) {
        std::size_t at = 0;
        CAPTURE(static_cast<int>(fault));
        CAPTURE(at);
        while (sweep_step(fault, at)) ++at;
        CHECK(at > 15);
    }
}

TEST_CASE("fault/vault: a disk that lies about what is durable gives damage, never wrong bytes") {
    for (std::size_t at = 0;; ++at) {
        CAPTURE(at);
        TestVault vault;
        fakes::FaultStore faulty{vault.store, Fault::torn, at};
        auto core = std::make_shared<VaultCore>(
            faulty, load_config(vault.store).value(),
            chunk::SecretKey::from(test::open_key(vault)).value(), vault.clock, env::random_bytes);
        {
            const auto chunks = StoredChunks::open(core);
            if (chunks) (void)back_up(**chunks, 1);
        }
        if (!faulty.struck()) break;
        const auto chunks = vault.chunks();
        for (std::uint64_t i = 0; i < blocks_per_run; ++i) {
            const Bytes block = block_of(1, i);
            const auto data = chunks->get(vault.data_id(block), Content::data);
            if (data) CHECK(*data == block);
            if (!data) CHECK(data.error().code == Errc::corrupt);
        }
        CHECK(back_up(*chunks, 2));
    }
}

TEST_CASE("fault/vault: one flipped bit in any answer is noticed or changes nothing") {
    for (std::size_t at = 0;; ++at) {
        CAPTURE(at);
        TestVault vault;
        REQUIRE(back_up(*vault.chunks(), 0));
        fakes::FaultStore faulty{vault.store, Fault::flip, at};
        const auto core = unlock_vault(faulty, {}, vault.clock);
        REQUIRE((core || core.error().code == Errc::corrupt));
        if (core) {
            const auto chunks = StoredChunks::open(*core).value();
            for (std::uint64_t i = 0; i < blocks_per_run; ++i) {
                const Bytes block = block_of(0, i);
                const auto data = chunks->get(vault.data_id(block), Content::data);
                if (data) CHECK(*data == block);
                if (!data) CHECK(data.error().code == Errc::corrupt);
            }
        }
        if (!faulty.struck()) break;
    }
}
