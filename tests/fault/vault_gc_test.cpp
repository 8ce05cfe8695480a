// gc under faults, and everybody else's work between any two of its steps.
#include <doctest/doctest.h>

#include <cstdlib>

#include "fakes/fault_store.hpp"
#include "fakes/hook_store.hpp"
#include "support/instrumented.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using fakes::Fault;
using test::VaultLab;

namespace {

constexpr std::size_t blocks = 24;

/// Every call of a sweep in the long form, every fourth else, fewer where sanitizers watch.
std::size_t stride() {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    const bool all = length != nullptr && std::string_view{length} == "long";
    return all ? 1 : test::slowness > 1 ? 12 : 4;
}
/// @param lane sweeps of one kind look at different calls
std::size_t first_call(std::size_t lane) {
    return lane % stride();
}
constexpr std::size_t disk_bytes = blocks * VaultLab::chunk_bytes;

Bytes disk_of(std::uint64_t seed) {
    Bytes disk(disk_bytes);
    std::mt19937_64 random{seed};
    for (std::byte& byte : disk) byte = static_cast<std::byte>(random());
    return disk;
}

/// A vault with a forgotten point that shares a little with one that is kept: some blocks, and
/// others of which the kept one has only the difference.
struct World {
    MemoryStore store;
    VaultLab lab{store};
    Bytes forgotten = disk_of(1);
    Bytes kept = disk_of(2);
    Point kept_point;
    std::vector<std::pair<Point, Bytes>> later;  // published by others meanwhile

    World() {
        store.keep_times(lab.clock());
        std::copy(forgotten.begin(), forgotten.begin() + 3 * VaultLab::chunk_bytes, kept.begin());
        const auto from = forgotten.begin() + 3 * VaultLab::chunk_bytes;
        std::copy(from, from + 4 * VaultLab::chunk_bytes, kept.begin() + 3 * VaultLab::chunk_bytes);
        for (std::size_t at = 3; at < 7; ++at) kept[at * VaultLab::chunk_bytes] ^= std::byte{1};
        const std::vector<VaultLab::Disk> before{{"vda", forgotten}};
        const auto point = lab.backup(before).value();
        const std::uint64_t stored = store_bytes();
        kept_point = lab.backup({{"vda", kept}}, &point, &before).value();
        // 17 whole, 4 differences, and padding.
        REQUIRE(store_bytes() < stored + 20 * VaultLab::chunk_bytes);
        REQUIRE(lab.vault().forget(point.id));
        lab.clock().pass(std::chrono::hours{1});  // what is there is nobody's who works now
    }
    [[nodiscard]] std::uint64_t store_bytes() {
        std::uint64_t sum = 0;
        const auto packs = store.list("packs/").value();
        for (const ObjectInfo& pack : packs) sum += pack.size.raw();
        return sum;
    }
    void back_up(const Bytes& disk) {
        VaultLab other{store};
        VaultLab::join_time(other, lab);
        const auto point = other.backup({{"vda", disk}});
        REQUIRE(point);
        later.emplace_back(*point, disk);
    }
    void check() {
        VaultLab fresh{store};
        const auto found = fresh.vault().check(CheckDepth::read_data, {}, {}).value();
        for (const auto& damage : found.damage) FAIL_CHECK(damage.text);
        CHECK(fresh.read(kept_point.disks.at(0)).value() == kept);
        for (const auto& [point, disk] : later)
            CHECK(fresh.read(point.disks.at(0)).value() == disk);
    }
    /// Two gcs later everything that nobody needs is gone.
    void settle() {
        lab.clock().pass(std::chrono::hours{3});  // whoever died has expired
        lab.reopen();
        REQUIRE(lab.vault().collect({}, {}, {}));
        REQUIRE(lab.vault().collect({}, {}, {}));
        CHECK(store.list("condemned/").value().empty());
        CHECK(store.list("waits/").value().empty());
        CHECK(store.list("runs/").value().empty());
        CHECK(store.list("forgotten/").value().empty());
        check();
    }
};

}  // namespace

TEST_CASE("fault/gc: power cut, failure or lost answer at every call") {
    for (const Fault fault :
         {Fault::cut, Fault::cut_after, Fault::fail, Fault::lost, Fault::full}) {
        CAPTURE(static_cast<int>(fault));
        for (std::size_t at = first_call(static_cast<std::size_t>(fault));; at += stride()) {
            CAPTURE(at);
            World world;
            fakes::FaultStore faulty{world.store, fault, at};
            {
                const auto vault = open_vault(faulty, {}, world.lab.clock());
                if (vault) (void)(*vault)->collect({}, {}, {});
            }
            world.check();
            world.back_up(disk_of(3));
            world.back_up(world.forgotten);
            world.settle();
            if (!faulty.struck()) break;
        }
    }
}

TEST_CASE("fault/gc: a backup of what is being deleted, between any two steps of gc") {
    std::size_t at = first_call(1);
    for (;; at += stride()) {
        CAPTURE(at);
        World world;
        fakes::HookStore hooked{world.store, fakes::at_call(at),
                                [&] { world.back_up(world.forgotten); }};
        {
            const auto vault = open_vault(hooked, {}, world.lab.clock()).value();
            REQUIRE(vault->collect({}, {}, {}));
        }
        world.check();
        if (!hooked.struck()) break;
        world.settle();
    }
    CHECK(at > 40);
}

TEST_CASE("fault/gc: a whole gc between any two steps of a backup") {
    std::size_t at = first_call(2);
    for (;; at += stride()) {
        CAPTURE(at);
        World world;
        fakes::HookStore hooked{world.store, fakes::at_call(at), [&] {
                                    REQUIRE(world.lab.vault().collect({}, {}, {}));
                                    REQUIRE(world.lab.vault().collect({}, {}, {}));
                                }};
        {
            VaultLab other{hooked};
            VaultLab::join_time(other, world.lab);
            const auto point = other.backup({{"vda", world.forgotten}});
            REQUIRE(point);
            world.later.emplace_back(*point, world.forgotten);
        }
        world.check();
        if (!hooked.struck()) break;
        world.settle();
    }
    CHECK(at > 15);
}

TEST_CASE("fault/gc: two gcs, one inside the other at any step") {
    for (std::size_t at = first_call(3);; at += stride()) {
        CAPTURE(at);
        World world;
        fakes::HookStore hooked{world.store, fakes::at_call(at),
                                [&] { (void)world.lab.vault().collect({}, {}, {}); }};
        {
            const auto vault = open_vault(hooked, {}, world.lab.clock()).value();
            (void)vault->collect({}, {}, {});
        }
        world.check();
        if (!hooked.struck()) break;
        world.back_up(world.forgotten);
        world.settle();
    }
}

TEST_CASE("fault/gc: a restore between any two steps of gc") {
    for (std::size_t at = first_call(0);; at += stride()) {
        CAPTURE(at);
        World world;
        VaultLab reader{world.store};  // its index is that of before
        const auto disk = reader.vault().open_disk(world.kept_point.disks.at(0)).value();
        fakes::HookStore hooked{world.store, fakes::at_call(at), [&] {
                                    for (std::size_t block = 0; block < blocks; ++block) {
                                        CHECK(disk->block(BlockIndex{block}));
                                    }
                                }};
        {
            const auto vault = open_vault(hooked, {}, world.lab.clock()).value();
            REQUIRE(vault->collect({}, {}, {}));
        }
        for (std::size_t block = 0; block < blocks; ++block) CHECK(disk->block(BlockIndex{block}));
        if (!hooked.struck()) break;
    }
}
