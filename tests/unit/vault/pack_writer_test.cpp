#include "vault/pack_writer.hpp"

#include <doctest/doctest.h>

#include "fakes/fault_store.hpp"
#include "vault/chunk_run.hpp"
#include "vault/pack_check.hpp"
#include "vault/pack_reader.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

namespace {

struct Written {
    std::mutex mutex;
    std::vector<DurablePack> packs;
    PackWriter::OnDurable keep() {
        return [this](DurablePack pack) -> Status {
            const std::scoped_lock lock{mutex};
            packs.push_back(std::move(pack));
            return {};
        };
    }
};

Status append(PackWriter& writer, const TestVault& vault, const Bytes& block,
              Content content = Content::data) {
    const auto done = writer.append(vault.data_id(block), {chunk::Codec::raw, block},
                                    static_cast<std::uint32_t>(block.size()), content);
    if (!done) return fail(done.error());
    return {};
}

}  // namespace

TEST_CASE("vault/writer: many threads, several packs, every chunk once and readable") {
    TestVault vault;
    Written written;
    constexpr std::size_t threads_count = 4, each = 300;  // 75 MiB: three packs
    {
        PackWriter writer{*vault.core, written.keep()};
        std::vector<std::thread> threads;
        std::atomic<int> failures = 0;
        for (std::size_t t = 0; t < threads_count; ++t) {
            threads.emplace_back([&, t] {
                for (std::size_t i = 0; i < each; ++i) {
                    const Bytes block = test::noise_block(64 << 10, t * each + i);
                    if (!append(writer, vault, block)) ++failures;
                }
            });
        }
        for (auto& thread : threads) thread.join();
        CHECK(failures == 0);
        REQUIRE(writer.finish());
    }
    CHECK(written.packs.size() == 3);
    std::set<chunk::ChunkId> ids;
    for (const DurablePack& pack : written.packs) {
        CHECK(pack.directory.pack_bytes <= vault.core->config.pack_bytes);
        CHECK(verify_pack(*vault.core, pack.name).value().whole());
        for (const auto& entry : pack.directory.entries) ids.insert(entry.id);
    }
    CHECK(ids.size() == threads_count * each);
}

TEST_CASE("vault/writer: data and map nodes never share a pack") {
    TestVault vault;
    Written written;
    PackWriter writer{*vault.core, written.keep()};
    for (std::uint64_t i = 0; i < 20; ++i) {
        REQUIRE(append(writer, vault, test::noise_block(2000, i),
                       i % 2 == 0 ? Content::data : Content::map));
    }
    REQUIRE(writer.finish());
    REQUIRE(written.packs.size() == 2);
    CHECK(written.packs[0].directory.content != written.packs[1].directory.content);
    for (const auto& pack : written.packs) CHECK(pack.directory.entries.size() == 10);
}

TEST_CASE("vault/writer: a pack of tiny chunks ends with its last slot") {
    TestVault vault;
    Written written;
    PackWriter writer{*vault.core, written.keep()};
    for (std::uint64_t i = 0; i < pack_records_max + 5; ++i) {
        Bytes block(8);
        std::memcpy(block.data(), &i, sizeof i);
        REQUIRE(append(writer, vault, block));
    }
    REQUIRE(writer.finish());
    REQUIRE(written.packs.size() == 2);
    CHECK(written.packs[0].directory.entries.size() + written.packs[1].directory.entries.size() ==
          pack_records_max + 5);
}

TEST_CASE("vault/writer: refuses use after the first write error") {
    TestVault vault;
    fakes::FaultStore faulty{vault.store, fakes::Fault::full, 0};
    VaultCore core{faulty, load_config(vault.store).value(), chunk::SecretKey{}, vault.clock,
                   env::random_bytes};
    Written written;
    PackWriter writer{core, written.keep()};
    REQUIRE(append(writer, vault, test::noise_block(1000, 1)));
    CHECK(writer.finish().error().code == Errc::no_space);
    // The store would take it now; the run is broken all the same.
    CHECK(append(writer, vault, test::noise_block(1000, 2)).error().code == Errc::no_space);
    CHECK(writer.finish().error().code == Errc::no_space);
    CHECK(written.packs.empty());
    CHECK(vault.store.list("packs/").value().empty());
}

TEST_CASE("vault/writer: a failing callback sticks too") {
    TestVault vault;
    PackWriter writer{*vault.core, [](const DurablePack&) -> Status {
                          return fail(Errc::io, "test.callback", "no");
                      }};
    REQUIRE(append(writer, vault, test::noise_block(1000, 1)));
    CHECK(writer.finish().error().id == "test.callback");
    CHECK(writer.state().error().id == "test.callback");
}

TEST_CASE("vault/writer: given up before its end, it writes nothing more and does not hang") {
    TestVault vault;
    Written written;
    {
        PackWriter writer{*vault.core, written.keep()};
        REQUIRE(append(writer, vault, test::noise_block(1000, 1)));
    }
    CHECK(written.packs.empty());
    CHECK(vault.store.list("packs/").value().empty());
}
