#include "route/audit.hpp"

#include <doctest/doctest.h>

#include "fakes/plain_disk.hpp"
#include "fakes/route_fakes.hpp"
#include "route/disk_account.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::route;
using serialization::DiskMode;

namespace {

constexpr std::uint32_t chunk_bytes = test::VaultLab::chunk_bytes;
constexpr std::size_t blocks = 512;

/// A disk with a point in a real vault, and an increment of what became of it.
struct Increment {
    Increment() {
        parent = lab.backup({{"vda", before}}).value();
        decision.disk.name = "vda";
        decision.mode = DiskMode::increment;
        decision.parent_point = parent.id;
        decision.parent_root = parent.disks.at(0);
        decision.read_whole_ns = 1;
        decision.increments = 3;
    }

    /// @param tracked what the bitmap says has changed
    DiskTransfer ship(const extents::ExtentSet& tracked, AuditOptions options = {}) {
        const BackupServices services{
            .clock = lab.clock(),
            .vault = lab.vault(),
            .vm = vm,
            .reporter = reporter,
            .connect_guest = {},
            .connect_nbd = [&](const capture::NbdAddress& address, const env::CancelToken&)
                -> Result<std::unique_ptr<capture::NbdSource>> {
                ++connections;
                const auto dirty = address.dirty_context.empty() ? extents::whole(size()) : tracked;
                return std::make_unique<fakes::PlainDisk>(now, dirty);
            },
            .spawn_keeper = {},
            .random = [this] { return generator(); }};
        const std::vector<DiskDecision> disks{decision};
        const std::vector<hypervisor::DiskExport> exports{{"vda", "/fake", "vda", "ctx", {}}};
        auto run = lab.vault().begin_run(lab.new_id()).value();
        const TransferPlan plan{.disks = disks, .exports = exports, .audit = options};
        auto transfers = transfer_disks(services, plan, *run, {});
        REQUIRE(transfers);
        REQUIRE(run->flush());
        return transfers->at(0);
    }
    [[nodiscard]] ByteCount size() const { return ByteCount{now.size()}; }
    /// Changes blocks [first, first + count) of the disk.
    extents::ExtentSet write(std::uint64_t first, std::uint64_t count) {
        const auto from = now.begin() + static_cast<std::ptrdiff_t>(first * chunk_bytes);
        std::fill_n(from, count * chunk_bytes, std::byte{0x5a});
        return {{ByteOffset{first * chunk_bytes}, ByteCount{count * chunk_bytes}}};
    }

    vault::MemoryStore store;
    test::VaultLab lab{store};
    Bytes before = test::random_disk(blocks * chunk_bytes, 42);
    Bytes now = before;
    vault::Point parent;
    DiskDecision decision;
    fakes::Journal journal;
    env::SystemClock clock;
    fakes::FakeVm vm{journal, clock, {}};
    fakes::SilentReporter reporter;
    std::mt19937_64 generator{1};
    int connections = 0;
};

}  // namespace

TEST_CASE("route/audit: an honest increment is audited and stays an increment") {
    Increment world;
    const auto transfer = world.ship(world.write(7, 2));
    CHECK(transfer.mode == DiskMode::increment);
    CHECK(transfer.reason.empty());
    REQUIRE(transfer.audit);
    CHECK(transfer.audit->clean == blocks - 2);
    CHECK(transfer.audit->chunks == 64);
    CHECK(transfer.audit->data >= 16);
    CHECK(transfer.audit->changed == 0);
    CHECK(transfer.audit->bytes == 64ull * chunk_bytes);
    CHECK(transfer.read_bytes ==
          2ull * chunk_bytes);  // what the increment ships, not what was audited
    CHECK(world.lab.read(transfer.root).value() == world.now);
    CHECK(judge_audit(world.decision, transfer).empty());
    const auto disk = describe_disk(world.decision, transfer, 99);
    CHECK(disk.read_whole_ns == 1);
    CHECK(disk.increments == 3);
}

TEST_CASE("route/audit: an untracked write leads to compare in the same run (I3)") {
    Increment world;
    const auto tracked = world.write(7, 2);
    SUBCASE("data over data and zeros") {
        world.write(100, 100);
    }
    SUBCASE("zeros over data") {
        std::fill_n(world.now.begin() + 100 * chunk_bytes, 150 * chunk_bytes, std::byte{0});
    }
    const auto transfer = world.ship(tracked);
    CHECK(transfer.mode == DiskMode::compare);
    CHECK(transfer.reason.starts_with("the audit found change tracking wrong: "));
    REQUIRE(transfer.audit);
    CHECK(transfer.audit->changed > 0);
    CHECK(world.connections == 2);
    CHECK(world.lab.read(transfer.root).value() == world.now);
    const auto warnings = judge_audit(world.decision, transfer);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].code == "audit.mismatch");
    CHECK(warnings[0].text.find(world.parent.id) != std::string::npos);
    const auto disk = describe_disk(world.decision, transfer, 99);
    CHECK(disk.mode == DiskMode::compare);
    CHECK(disk.read_whole_ns == 99);
    CHECK(disk.increments == 0);
    REQUIRE(disk.audit);
    CHECK(disk.audit->changed == transfer.audit->changed);
}

TEST_CASE("route/audit: without it the same write is missed") {
    Increment world;
    world.write(100, 100);
    const auto transfer = world.ship({}, {.chunks = 0});
    CHECK(transfer.mode == DiskMode::increment);
    CHECK_FALSE(transfer.audit);
    CHECK(world.lab.read(transfer.root).value() == world.before);
}

TEST_CASE("route/audit: a compare believes no bitmap and needs no audit") {
    Increment world;
    world.decision.mode = DiskMode::compare;
    world.decision.reason = "periodic compare";
    world.write(100, 1);
    const auto transfer = world.ship({});
    CHECK(transfer.mode == DiskMode::compare);
    CHECK(transfer.reason == "periodic compare");
    CHECK_FALSE(transfer.audit);
    CHECK(transfer.counts.shipped_bytes == chunk_bytes);
    CHECK(world.lab.read(transfer.root).value() == world.now);
}

TEST_CASE("route/audit: how much is audited follows what is read, within a budget") {
    const ByteCount small{64u << 10};
    CHECK(audit_chunks({}, ByteCount{0}, small) == 64);
    CHECK(audit_chunks({}, ByteCount{32u << 20}, small) == 64 + 16);
    CHECK(audit_chunks({}, ByteCount{1ull << 40}, small) == 1024);
    CHECK(audit_chunks({}, ByteCount{1ull << 40}, ByteCount{1u << 20}) == 64);
    CHECK(audit_chunks({.chunks = 5000}, ByteCount{1ull << 40}, small) == 5000);
    CHECK(audit_chunks({.chunks = 0}, ByteCount{1ull << 40}, small) == 0);
}

TEST_CASE("route/audit: the probability to notice counts only chunks with data") {
    const AuditResult audit{.clean = 10'000, .chunks = 64, .data = 48};
    CHECK(notice_probability(audit, 0.01) == doctest::Approx(0.3827).epsilon(0.001));
    CHECK(notice_probability(audit, 0.001) == doctest::Approx(0.0469).epsilon(0.001));
    CHECK(notice_probability({.clean = 10'000, .chunks = 64, .data = 0}, 0.01) == 0.0);
    CHECK(notice_probability({.clean = 64, .chunks = 64, .data = 3}, 0.01) == 1.0);
}
