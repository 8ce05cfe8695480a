#include <doctest/doctest.h>

#include <algorithm>

#include "fakes/fault_store.hpp"
#include "fakes/hook_store.hpp"
#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"
#include "vault/pack_reader.hpp"
#include "vault/sealed_object.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::random_disk;
using test::VaultLab;

namespace {

constexpr std::size_t disk_bytes = 40 * VaultLab::chunk_bytes;

RepairResult repair(VaultLab& lab, RepairOptions options = {}) {
    return lab.vault().repair(options, {}, {}).value();
}

std::vector<std::string> names(BlockStore& store, const std::string& prefix) {
    std::vector<std::string> found;
    const auto listed = store.list(prefix).value();
    for (const ObjectInfo& object : listed) found.push_back(object.name);
    return found;
}

void remove_all(BlockStore& store, const std::string& prefix) {
    for (const std::string& name : names(store, prefix)) REQUIRE(store.remove(name));
}

void flip_a_bit(BlockStore& store, const std::string& name) {
    test::flip(store, name, store.size(name).value().raw() / 2);
}

std::size_t damage_count(VaultLab& lab) {
    return lab.vault().check(CheckDepth::read_data, {}, {}).value().damage.size();
}

/// Two points of one disk, and what it held.
struct World {
    World() : lab(store) {
        store.keep_times(lab.clock());
        first = lab.backup({{"vda", before}}).value();
        second = lab.backup({{"vda", now}}, &first, nullptr).value();
    }
    void check_whole() {
        lab.reopen();
        CHECK(damage_count(lab) == 0);
        CHECK(lab.read(first.disks.at(0)).value() == before);
        CHECK(lab.read(second.disks.at(0)).value() == now);
    }
    MemoryStore store;
    VaultLab lab;
    Bytes before = random_disk(disk_bytes, 1), now = random_disk(disk_bytes, 2);
    Point first, second;
};

}  // namespace

TEST_CASE("vault/repair: a vault without damage is left as it is") {
    World world;
    const auto all = names(world.store, "");
    const RepairResult done = repair(world.lab);
    CHECK(done.indexed_packs == 0);
    CHECK(done.damaged_segments == 0);
    CHECK(done.copied == 0);
    CHECK(done.recovered.empty());
    CHECK(done.unreadable.empty());
    CHECK(names(world.store, "") == all);
}

TEST_CASE("vault/repair: an index that is gone is made anew from the packs") {
    World world;
    remove_all(world.store, "index/");
    world.lab.reopen();
    CHECK(damage_count(world.lab) > 0);
    const RepairResult planned = repair(world.lab, {.mode = RepairMode::plan});
    CHECK(planned.indexed_packs == names(world.store, "packs/").size());
    CHECK(names(world.store, "index/").empty());
    CHECK(names(world.store, "runs/").empty());
    const RepairResult done = repair(world.lab);
    CHECK(done.indexed_packs == planned.indexed_packs);
    CHECK(done.indexed_chunks > 0);
    CHECK(done.unreadable.empty());
    world.check_whole();
    CHECK(names(world.store, "runs/").empty());
    CHECK(repair(world.lab).indexed_packs == 0);
}

TEST_CASE("vault/repair: one damaged segment is replaced, the others stay") {
    World world;
    const auto segments = names(world.store, "index/");
    REQUIRE(segments.size() == 2);
    flip_a_bit(world.store, segments[0]);
    world.lab.reopen();
    const RepairResult done = repair(world.lab);
    CHECK(done.damaged_segments == 1);
    CHECK(done.indexed_packs > 0);
    CHECK(done.indexed_packs < names(world.store, "packs/").size());
    const auto now = names(world.store, "index/");
    CHECK(now.size() == 2);
    CHECK(std::ranges::count(now, segments[0]) == 0);
    CHECK(std::ranges::count(now, segments[1]) == 1);
    world.check_whole();
}

TEST_CASE("vault/repair: a pack that cannot be read is named, the others are indexed") {
    World world;
    const auto packs = names(world.store, "packs/");
    remove_all(world.store, "index/");
    // The end of a pack is its directory.
    const ByteCount size = world.store.size(packs[0]).value();
    Bytes bytes = world.store.get(packs[0], ByteOffset{0}, size).value();
    bytes[bytes.size() - 12] ^= std::byte{1};
    REQUIRE(world.store.remove(packs[0]));
    REQUIRE(world.store.put(packs[0], bytes));
    world.lab.reopen();
    const RepairResult done = repair(world.lab);
    CHECK(done.indexed_packs == packs.size() - 1);
    REQUIRE(done.unreadable.size() == 1);
    CHECK(done.unreadable[0].find(packs[0]) != std::string::npos);
}

TEST_CASE("vault/repair: a pack whose padding is damaged loses nothing") {
    World world;
    for (const std::string& name : names(world.store, "packs/")) {
        const auto core = unlock_vault(world.store, {}, world.lab.clock()).value();
        const PackName pack = PackName::parse_object(name).value();
        test::flip(world.store, name, PackReader{*core}.directory(pack).value()->records_end());
    }
    world.lab.reopen();
    CHECK(damage_count(world.lab) == 2 * 4);  // each by its name and by the padding's seal
    const RepairResult done = repair(world.lab, {.read_data = true});
    CHECK(done.emptied_packs == 4);
    CHECK(done.lost_chunks == 0);
    world.lab.reopen();
    CHECK(world.lab.read(world.first.disks.at(0)).value() == world.before);
    REQUIRE(world.lab.vault().collect({}, {}, {}));
    world.check_whole();
}

TEST_CASE(
    "vault/repair: damaged records leave the index, and a backup that has them heals all points") {
    World world;
    for (const std::string& name : names(world.store, "packs/")) {
        test::flip(world.store, name, object_header_bytes);  // its first record
    }
    world.lab.reopen();
    CHECK(repair(world.lab).emptied_packs == 0);  // the directories are whole
    const RepairResult planned = repair(world.lab, {.mode = RepairMode::plan, .read_data = true});
    CHECK(planned.emptied_packs == 4);
    CHECK(planned.lost_chunks == 4);
    const RepairResult done = repair(world.lab, {.read_data = true});
    CHECK(done.lost_chunks == 4);
    world.lab.reopen();
    CHECK(damage_count(world.lab) > 0);
    CHECK_FALSE(world.lab.read(world.first.disks.at(0)));
    // Both states once more, from nothing: what is there is not stored again, what is lost is.
    REQUIRE(world.lab.backup({{"vda", world.before}}));
    REQUIRE(world.lab.backup({{"vda", world.now}}));
    CHECK(world.lab.read(world.first.disks.at(0)).value() == world.before);
    CHECK(world.lab.read(world.second.disks.at(0)).value() == world.now);
    REQUIRE(world.lab.vault().collect({}, {}, {}));
    world.check_whole();
}

TEST_CASE("vault/repair: a backup that has it stores again what was in a pack that is gone") {
    World world;
    REQUIRE(world.store.remove(names(world.store, "packs/")[0]));
    world.lab.reopen();
    const RepairResult done = repair(world.lab);
    REQUIRE(done.unreadable.size() == 1);
    CHECK(done.unreadable[0].find("is missing") != std::string::npos);
    REQUIRE(world.lab.backup({{"vda", world.before}}));
    REQUIRE(world.lab.backup({{"vda", world.now}}));
    world.lab.reopen();
    CHECK(world.lab.read(world.first.disks.at(0)).value() == world.before);
    CHECK(world.lab.read(world.second.disks.at(0)).value() == world.now);
}

TEST_CASE("vault/repair: points that are gone come back as recovered, until they are confirmed") {
    World world;
    remove_all(world.store, "points/");
    CHECK(world.lab.vault().points().value().empty());
    CHECK(damage_count(world.lab) == 2);
    const RepairResult done = repair(world.lab);
    CHECK(done.recovered == std::vector<PointId>{world.first.id, world.second.id});
    world.check_whole();
    const auto points = world.lab.vault().points().value();
    CHECK(points.size() == 2);
    CHECK(std::ranges::all_of(points, &Point::recovered));
    REQUIRE(world.lab.vault().confirm(world.first.id));
    CHECK_FALSE(world.lab.vault().point(world.first.id).value().recovered);
    CHECK(world.lab.vault().point(world.second.id).value().recovered);
    CHECK(world.lab.vault().confirm(world.first.id).error().id == "point.not_recovered");
    CHECK(repair(world.lab).recovered.empty());
}

TEST_CASE("vault/repair: a forgotten point does not come back, wherever the forgetting was cut") {
    bool forgotten = false;
    for (std::size_t call = 0; !forgotten; ++call) {
        CAPTURE(call);
        MemoryStore inner;
        PointId id;
        {
            VaultLab lab{inner};
            id = lab.backup({{"vda", random_disk(disk_bytes, 1)}}).value().id;
        }
        fakes::FaultStore calls{inner};
        const VaultLab counting{calls};
        fakes::FaultStore cutting{inner, fakes::Fault::cut, calls.calls() + call};
        VaultLab cut{cutting};
        forgotten = cut.vault().forget(id).has_value();
        VaultLab after{inner};
        CHECK(repair(after).recovered.empty());
        const bool there = after.vault().points().value().size() == 1;
        CHECK((there || names(inner, "forgotten/").size() == 1));
        if (!forgotten) continue;
        CHECK_FALSE(there);
        CHECK(names(inner, "copies/").empty());
    }
}

TEST_CASE("vault/repair: a damaged point is written anew from its copy, a damaged copy from it") {
    World world;
    flip_a_bit(world.store, "points/" + world.first.id);
    flip_a_bit(world.store, "copies/" + world.second.id);
    CHECK(damage_count(world.lab) == 2);
    const RepairResult done = repair(world.lab);
    CHECK(done.rewritten == std::vector<PointId>{world.first.id});
    CHECK(done.copied == 1);
    CHECK(done.recovered.empty());
    world.check_whole();
    CHECK(world.lab.vault().points().value().size() == 2);
    CHECK_FALSE(world.lab.vault().point(world.first.id).value().recovered);
}

TEST_CASE("vault/repair: a point whose copy is damaged too is named and stays") {
    World world;
    flip_a_bit(world.store, "points/" + world.first.id);
    flip_a_bit(world.store, "copies/" + world.first.id);
    const RepairResult done = repair(world.lab);
    CHECK(done.rewritten.empty());
    REQUIRE(done.unreadable.size() == 1);
    CHECK(done.unreadable[0].find(world.first.id) != std::string::npos);
    CHECK(names(world.store, "points/").size() == 2);
    REQUIRE(world.lab.vault().forget(world.first.id));
    CHECK(names(world.store, "copies/").size() == 1);
    CHECK(repair(world.lab).unreadable.empty());
}

TEST_CASE("vault/repair: points of before copies were made get theirs") {
    World world;
    remove_all(world.store, "copies/");
    CHECK(damage_count(world.lab) == 0);
    CHECK(repair(world.lab).copied == 2);
    CHECK(names(world.store, "copies/").size() == 2);
}

TEST_CASE("vault/gc: what a lost point needs is kept until it is forgotten") {
    World world;
    REQUIRE(world.store.remove("points/" + world.first.id));
    const GcResult kept = world.lab.vault().collect({}, {}, {}).value();
    CHECK(kept.lost_points == 1);
    CHECK(kept.freed_packs == 0);
    CHECK(repair(world.lab).recovered == std::vector<PointId>{world.first.id});
    world.check_whole();
    REQUIRE(world.lab.vault().forget(world.first.id));
    CHECK(names(world.store, "recovered/").empty());
    CHECK(world.lab.vault().collect({}, {}, {}).value().freed_packs > 0);
}

TEST_CASE(
    "vault/gc: deletes nothing while points and index are lost, and a repair brings all back") {
    World world;
    remove_all(world.store, "points/");
    remove_all(world.store, "index/");
    world.lab.reopen();
    const std::size_t packs = names(world.store, "packs/").size();
    for (int i = 0; i < 2; ++i) {
        const auto result = world.lab.vault().collect({}, {}, {});
        REQUIRE_FALSE(result);
        CHECK(result.error().id == "gc.damage");
        CHECK(result.error().remedy.find("vault repair") != std::string::npos);
    }
    CHECK(names(world.store, "packs/").size() == packs);
    CHECK(repair(world.lab).recovered.size() == 2);
    world.check_whole();
}

TEST_CASE("vault/gc: a lost point whose copy cannot be read keeps gc from nothing") {
    World world;
    remove_all(world.store, "points/" + world.first.id);
    flip_a_bit(world.store, "copies/" + world.first.id);
    const auto result = world.lab.vault().collect({}, {}, {});
    REQUIRE(result);
    CHECK(result->lost_points == 1);
    CHECK(result->freed_packs > 0);
}

TEST_CASE("vault/repair: not while a gc is at work") {
    MemoryStore inner;
    std::string refused;
    const auto repairs = [&] {
        VaultLab second{inner};
        const auto result = second.vault().repair({}, {}, {});
        refused = result ? "nothing" : result.error().id;
    };
    fakes::HookStore store{inner, [](const std::string& call) { return call == "list packs/"; },
                           repairs};
    {
        VaultLab first{inner};
        REQUIRE(first.backup({{"vda", random_disk(disk_bytes, 1)}}));
    }
    VaultLab lab{store};
    REQUIRE(lab.vault().collect({}, {}, {}));
    CHECK(refused == "gc.running");
}
