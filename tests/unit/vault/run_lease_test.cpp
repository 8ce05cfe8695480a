#include "vault/run_lease.hpp"

#include <doctest/doctest.h>

#include "fakes/fault_store.hpp"
#include "vault/chunk_run.hpp"
#include "vault/marks.hpp"
#include "vault/sealed_object.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

namespace {

constexpr std::chrono::minutes minute{1};

RunRecord record_of(const TestVault& vault, const std::string& name) {
    return decode_run(get_object(*vault.core, ObjectKind::run, name).value()).value();
}

}  // namespace

TEST_CASE("vault/lease: a run object is there from the start and says until when it counts") {
    TestVault vault;
    const auto lease = RunLease::take(*vault.core, "abc").value();
    const RunRecord record = record_of(vault, "runs/abc.0");
    const auto wall = static_cast<std::uint64_t>(vault.clock.wall().count());
    CHECK(record.started_ns == wall);
    CHECK(record.expires_ns == wall + std::uint64_t{30} * 60 * 1'000'000'000);
    CHECK(lease->stored_bytes() == vault.store.size("runs/abc.0").value().raw());
}

TEST_CASE("vault/lease: renewing writes the next object, and only when it is due") {
    TestVault vault;
    const auto lease = RunLease::take(*vault.core, "abc").value();
    vault.clock.pass(9 * minute);
    REQUIRE(lease->renew_if_due());
    CHECK(vault.store.list("runs/").value().size() == 1);
    vault.clock.pass(minute);
    REQUIRE(lease->renew_if_due());
    CHECK(vault.store.list("runs/").value().size() == 2);
    CHECK(record_of(vault, "runs/abc.1").started_ns == record_of(vault, "runs/abc.0").started_ns);
    CHECK(record_of(vault, "runs/abc.1").expires_ns > record_of(vault, "runs/abc.0").expires_ns);
    vault.clock.pass(25 * minute);
    CHECK(lease->alive());
    lease->end();
    CHECK(vault.store.list("runs/").value().empty());
}

TEST_CASE("vault/lease: lapses by either clock, and never comes back") {
    const auto lapsed_after = [](auto&& pass) {
        TestVault vault;
        const auto lease = RunLease::take(*vault.core, "abc").value();
        pass(vault.clock);
        const Status alive = lease->alive();
        if (alive) return false;
        CHECK(alive.error().code == Errc::refused);
        CHECK(alive.error().id == "vault.lease_lapsed");
        CHECK_FALSE(lease->renew_if_due());
        vault.clock.pass_wall(-60 * minute);
        vault.clock.pass_monotonic(-60 * minute);
        CHECK_FALSE(lease->alive());
        return true;
    };
    using Clock = test::SplitClock;
    CHECK_FALSE(lapsed_after([](Clock& clock) { clock.pass(29 * minute); }));
    CHECK(lapsed_after([](Clock& clock) { clock.pass(30 * minute); }));
    // The host slept: its monotonic clock stood still.
    CHECK(lapsed_after([](Clock& clock) { clock.pass_wall(30 * minute); }));
    // Somebody set the wall clock back.
    CHECK(lapsed_after([](Clock& clock) {
        clock.pass_wall(-5 * minute);
        clock.pass_monotonic(30 * minute);
    }));
}

TEST_CASE("vault/lease: a renewal that failed is tried again under the next number") {
    using fakes::Fault;
    for (const Fault fault : {Fault::fail, Fault::lost}) {
        TestVault vault;
        fakes::FaultStore faulty{vault.store, fault, 1};
        VaultCore core{faulty, load_config(vault.store).value(), chunk::SecretKey{}, vault.clock,
                       env::random_bytes};
        const auto lease = RunLease::take(core, "abc").value();
        vault.clock.pass(10 * minute);
        CHECK_FALSE(lease->renew_if_due());
        CHECK(lease->renew_if_due());
        vault.clock.pass(25 * minute);
        CHECK(lease->alive());
        lease->end();
        CHECK(vault.store.list("runs/").value().empty());
    }
}

TEST_CASE("vault/lease: one id, one run") {
    TestVault vault;
    const auto lease = RunLease::take(*vault.core, "abc").value();
    CHECK(RunLease::take(*vault.core, "abc").error().id == "vault.run_exists");
}

TEST_CASE("vault/run: nothing is published once the lease has lapsed") {
    TestVault vault;
    const auto chunks = vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "abc").value();
    const Bytes block = test::noise_block(1000, 1);
    REQUIRE(run->put(vault.data_id(block), block, Content::data));
    REQUIRE(run->flush());
    CHECK(run->ready_to_publish());
    vault.clock.pass(30 * minute);
    CHECK(run->ready_to_publish().error().id == "vault.lease_lapsed");
}

TEST_CASE("vault/marks: reads what it wrote; a wrong length is damage") {
    const std::vector<PackName> packs{PackName{chunk::sha256(as_bytes("a"))}, PackName{}};
    const Bytes mark = encode_mark(packs);
    CHECK(decode_mark(mark).value() == packs);
    CHECK(decode_mark(encode_mark({})).value().empty());
    for (std::size_t size = 0; size < mark.size(); ++size) {
        CHECK(decode_mark(ByteView{mark}.first(size)).error().id == "vault.mark_damaged");
    }
}

TEST_CASE("vault/marks: a chunk in a condemned pack is stored again, and can still be read") {
    TestVault vault;
    const Bytes block = test::noise_block(1000, 1);
    const auto id = vault.data_id(block);
    const auto chunks = vault.chunks();
    const auto first = ChunkRun::begin(*chunks, "run1").value();
    REQUIRE(first->put(id, block, Content::data));
    REQUIRE(first->flush());
    const PackName condemned = chunks->packs().value().at(0);
    REQUIRE(put_object(*vault.core, ObjectKind::condemned, "condemned/g",
                       encode_mark(chunks->packs().value())));
    const auto second = ChunkRun::begin(*chunks, "run2").value();
    CHECK(chunks->get(id, Content::data).value() == block);
    CHECK_FALSE(second->put(id, block, Content::data).value().known());
    REQUIRE(second->flush());
    CHECK(second->ready_to_publish());
    CHECK(chunks->locate(id).value().pack != condemned);
}

TEST_CASE("vault/marks: a pack condemned while a run relied on it does not stop the run") {
    TestVault vault;
    const Bytes block = test::noise_block(1000, 1);
    const auto chunks = vault.chunks();
    const auto first = ChunkRun::begin(*chunks, "run1").value();
    REQUIRE(first->put(vault.data_id(block), block, Content::data));
    REQUIRE(first->flush());
    const auto second = ChunkRun::begin(*chunks, "run2").value();
    CHECK(second->put(vault.data_id(block), block, Content::data).value().known());
    REQUIRE(second->flush());
    REQUIRE(put_object(*vault.core, ObjectKind::condemned, "condemned/g",
                       encode_mark(chunks->packs().value())));
    // The mark waits for the run, and gc looks at its point before it deletes anything.
    CHECK(second->ready_to_publish());
}

TEST_CASE("vault/marks: a mark that nobody can read is noted and condemns nothing") {
    TestVault vault;
    REQUIRE(vault.store.put("condemned/g", Bytes(100)));
    const auto chunks = vault.chunks();
    CHECK(chunks->index_damage().size() == 1);
}
