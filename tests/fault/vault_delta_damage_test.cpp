// Damage to what differences build on: everything that builds on it is named, for every point and
// to the block, also where no map names the base any more; nothing else is; and what a full backup
// has at hand is healed by it.
#include <doctest/doctest.h>

#include <set>

#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;
constexpr std::size_t blocks = 24;
using Places = std::set<std::pair<PointId, std::uint64_t>>;  // points and their blocks

Bytes noise_disk() {
    std::mt19937_64 random{7};
    Bytes disk(blocks * block);
    for (std::byte& byte : disk) byte = static_cast<std::byte>(random());
    return disk;
}

/// Four states of a disk: block 3 differs a little in each from the one before, block 10 in the
/// last one. Two hosts' views of the vault: the lab's, and one that looks anew.
struct Chain {
    Chain() {
        store.keep_times(lab.clock());
        Bytes disk = noise_disk();
        for (int number = 0; number < 4; ++number) {
            const std::vector<VaultLab::Disk> now{{"vda", disk}};
            if (number == 0) points.push_back(lab.backup(now).value());
            if (number > 0) {
                const std::vector<VaultLab::Disk> before{{"vda", states.back()}};
                points.push_back(lab.backup(now, &points.back(), &before).value());
            }
            states.push_back(disk);
            disk[3 * block + 5000 + static_cast<std::size_t>(number)] ^= std::byte{1};
            if (number == 2) disk[10 * block + 9] ^= std::byte{1};
        }
        test::Saboteur saboteur{store, lab.clock()};
        base = saboteur.block_id(root(0), 3);
        other_base = saboteur.block_id(root(0), 10);
        leaf = saboteur.node_id(root(0), 0, 0);
        for (std::size_t at = 1; at < 4; ++at) {
            REQUIRE(saboteur.place_of(saboteur.block_id(root(at), 3)).base == base);
            REQUIRE(saboteur.place_of(saboteur.node_id(root(at), 0, 0)).base == leaf);
        }
    }
    [[nodiscard]] const DiskRoot& root(std::size_t at) const { return points[at].disks.at(0); }
    /// The first point goes; what others build on stays, in packs of its own.
    void forget_the_first() {
        REQUIRE(lab.vault().forget(points[0].id));
        lab.clock().pass(std::chrono::hours{1});
        REQUIRE(lab.vault().collect({.repack_below_percent = 100}, {}, {}));
        first = 1;
    }
    void spoil(const chunk::ChunkId& id) {
        test::Saboteur{store, lab.clock()}.spoil_chunk(id);
        lab.reopen();
    }
    void lose_the_pack_of(const chunk::ChunkId& id) {
        REQUIRE(store.remove(test::Saboteur{store, lab.clock()}.place_of(id).pack.object()));
        lab.reopen();
    }
    /// What check says, by block.
    Places blamed(CheckDepth depth) {
        Places places;
        const auto found = lab.vault().check(depth, {}, {}).value().damage;
        for (const DamageFound& damage : found) {
            const std::uint64_t from = damage.range.at.raw(), to = from + damage.range.length.raw();
            for (std::uint64_t at = from; at < to; at += block) {
                places.insert({damage.point, at / block});
            }
        }
        return places;
    }
    /// What cannot be read; all else is what it was.
    Places lost() {
        Places places;
        for (std::size_t at = first; at < points.size(); ++at) {
            const auto disk = lab.vault().open_disk(root(at)).value();
            for (std::uint64_t index = 0; index < blocks; ++index) {
                const auto bytes = disk->block(BlockIndex{index});
                if (!bytes) {
                    REQUIRE(bytes.error().code == Errc::corrupt);
                    places.insert({points[at].id, index});
                    continue;
                }
                const auto from = states[at].begin() + static_cast<std::ptrdiff_t>(index * block);
                CHECK(std::equal(bytes->begin(), bytes->end(), from));
            }
        }
        return places;
    }
    [[nodiscard]] Places everywhere(std::uint64_t index) const {
        Places places;
        for (std::size_t at = first; at < points.size(); ++at) {
            places.insert({points[at].id, index});
        }
        return places;
    }
    [[nodiscard]] Places whole_disks() const {
        Places places;
        for (std::uint64_t index = 0; index < blocks; ++index) places.merge(everywhere(index));
        return places;
    }

    MemoryStore store;
    VaultLab lab{store};
    std::vector<Point> points;
    std::vector<Bytes> states;
    std::size_t first = 0;  // of the points that are left
    chunk::ChunkId base, other_base, leaf;
};

}  // namespace

TEST_CASE("fault/vault: a damaged base damages every version on it, and check names all of them") {
    for (const bool forgotten : {false, true}) {
        CAPTURE(forgotten);
        Chain chain;
        if (forgotten) chain.forget_the_first();
        CHECK(chain.blamed(CheckDepth::read_data).empty());
        chain.spoil(chain.base);
        CHECK(chain.blamed(CheckDepth::structure).empty());  // reads no data, and says so
        CHECK(chain.blamed(CheckDepth::read_data) == chain.everywhere(3));
        CHECK(chain.lost() == chain.everywhere(3));
        chain.spoil(chain.other_base);
        Places both = chain.everywhere(3);
        both.merge(chain.everywhere(10));
        CHECK(chain.blamed(CheckDepth::read_data) == both);
        CHECK(chain.lost() == both);
    }
}

TEST_CASE("fault/vault: a base that is gone with its pack is missed without reading data") {
    for (const bool forgotten : {false, true}) {
        CAPTURE(forgotten);
        Chain chain;
        if (forgotten) chain.forget_the_first();
        chain.lose_the_pack_of(chain.base);
        const Places lost = chain.lost();
        for (const auto& place : chain.everywhere(3)) CHECK(lost.contains(place));
        CHECK(chain.blamed(CheckDepth::structure) == lost);
        CHECK(chain.blamed(CheckDepth::read_data) == lost);
    }
}

TEST_CASE("fault/vault: the base of a map's node is needed by every map that builds on it") {
    for (const bool missing : {false, true}) {
        CAPTURE(missing);
        Chain chain;
        chain.forget_the_first();
        if (missing) {
            chain.lose_the_pack_of(chain.leaf);
        } else {
            chain.spoil(chain.leaf);
        }
        const auto found = chain.lab.vault().check(CheckDepth::structure, {}, {}).value().damage;
        CHECK_FALSE(found.empty());
        CHECK(chain.blamed(CheckDepth::read_data) == chain.whole_disks());
        for (std::size_t at = 1; at < 4; ++at) CHECK_FALSE(chain.lab.read(chain.root(at)));
    }
}

TEST_CASE("fault/vault: a full backup heals what it has at hand, and only that") {
    for (const bool forgotten : {false, true}) {
        CAPTURE(forgotten);
        Chain chain;
        if (forgotten) chain.forget_the_first();
        chain.spoil(chain.base);
        const RepairResult repaired = chain.lab.vault().repair({.read_data = true}, {}, {}).value();
        CHECK(repaired.emptied_packs == 1);
        CHECK(repaired.lost_chunks == 1);
        chain.lab.reopen();
        CHECK(chain.blamed(CheckDepth::structure) == chain.everywhere(3));
        // Its last state, all of it: block 3 is stored whole, since its difference is worth
        // nothing.
        chain.points.push_back(chain.lab.backup({{"vda", chain.states.back()}}).value());
        chain.states.push_back(chain.states.back());
        chain.lab.reopen();
        Places left = chain.everywhere(3);
        left.erase({chain.points[3].id, 3});
        left.erase({chain.points[4].id, 3});
        CHECK(chain.blamed(CheckDepth::read_data) == left);
        CHECK(chain.lost() == left);
        // The base itself is at hand: what builds on it is whole again.
        REQUIRE(chain.lab.backup({{"vda", chain.states.front()}}));
        chain.lab.reopen();
        CHECK(chain.lost().empty());
        CHECK(chain.blamed(CheckDepth::structure).empty());
        REQUIRE(chain.lab.vault().collect({}, {}, {}));
        CHECK(chain.blamed(CheckDepth::read_data).empty());
    }
}
