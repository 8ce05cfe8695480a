// One changed, cut or missing byte anywhere in a vault: check finds it and names what it hits; what
// it hits cannot be read, everything else can; nothing is ever wrong in silence.
#include "support/vault_damage.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "support/instrumented.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::random_disk;
using test::touch;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;
using DiskName = std::pair<PointId, std::string>;

/// Two VMs; the second point of the first shares most of its map with the first.
struct SmallVault {
    SmallVault() {
        std::vector<VaultLab::Disk> disks{{"vda", random_disk(20 * block, 1)},
                                          {"vdb", random_disk(3 * block + 700, 2)}};
        const Point first = keep(lab.backup(disks).value(), disks);
        auto changed = disks;
        std::fill_n(changed[0].content.begin() + 5 * block, block, std::byte{9});
        for (const std::size_t at : {7u, 12u}) {
            touch(changed[0].content, at);  // stored as differences from the first point's
        }
        keep(lab.backup(changed, &first, &disks).value(), changed);
        const std::vector<VaultLab::Disk> other{{"sda", random_disk(10 * block, 3)}};
        keep(lab.backup(other).value(), other);
        const auto objects = store.list("").value();
        for (const ObjectInfo& object : objects) names.push_back(object.name);
        REQUIRE(test::delta_count(store, lab.clock(), Content::data) == 2);
        REQUIRE(test::delta_count(store, lab.clock(), Content::map) > 0);
    }
    Point keep(Point point, const std::vector<VaultLab::Disk>& disks) {
        for (std::size_t at = 0; at < disks.size(); ++at) {
            content[{point.id, disks[at].name}] = disks[at].content;
        }
        points.push_back(point);
        return point;
    }

    MemoryStore store;
    VaultLab lab{store};
    std::vector<Point> points;
    std::map<DiskName, Bytes> content;
    std::vector<std::string> names;
};

struct Outcome {
    bool opened = false;
    std::size_t findings = 0;
    std::set<DiskName> blamed;  // by check; a name without disk stands for the whole point
    std::set<DiskName> lost;    // could not be read
};

void read_back(SmallVault& small, Vault& vault, Outcome& outcome) {
    for (const Point& original : small.points) {
        const auto point = vault.point(original.id);
        const auto missing = [](const Error& error) {
            return error.code == Errc::corrupt || error.code == Errc::not_found;
        };
        if (!point) REQUIRE(missing(point.error()));
        for (const DiskRoot& disk : original.disks) {
            const DiskName name{original.id, disk.disk};
            const auto bytes = point ? small.lab.read(disk) : Result<Bytes>{fail(point.error())};
            if (bytes) {
                REQUIRE(*bytes == small.content[name]);  // never wrong in silence
            } else {
                REQUIRE(missing(bytes.error()));
                outcome.lost.insert(name);
            }
        }
    }
}

Outcome examine(SmallVault& small, CheckDepth depth) {
    Outcome outcome;
    auto opened = open_vault(small.store, {}, small.lab.clock());
    if (!opened) {
        REQUIRE(opened.error().code == Errc::corrupt);
        return outcome;
    }
    outcome.opened = true;
    const auto result = (*opened)->check(depth, {}, {});
    REQUIRE(result);
    outcome.findings = result->damage.size();
    for (const DamageFound& found : result->damage) {
        REQUIRE_FALSE(found.text.empty());
        for (const Point& point : small.points) {
            for (const DiskRoot& disk : point.disks) {
                if (found.point != point.id) continue;
                if (!found.disk.empty() && found.disk != disk.disk) continue;
                outcome.blamed.insert({point.id, disk.disk});
            }
        }
    }
    small.lab.reopen();
    read_back(small, small.lab.vault(), outcome);
    return outcome;
}

/// Damage was done: it is found, and exactly what is blamed is lost.
void expect_found(SmallVault& small, CheckDepth depth) {
    const Outcome outcome = examine(small, depth);
    if (!outcome.opened) return;
    CHECK(outcome.findings > 0);
    CHECK(outcome.blamed == outcome.lost);
}

}  // namespace

TEST_CASE("fault/vault: an intact vault has no findings") {
    SmallVault small;
    for (const CheckDepth depth : {CheckDepth::structure, CheckDepth::read_data}) {
        const Outcome outcome = examine(small, depth);
        CHECK(outcome.findings == 0);
        CHECK(outcome.lost.empty());
    }
}

TEST_CASE("fault/vault: a flipped byte in any object") {
    SmallVault small;
    for (const std::string& name : small.names) {
        CAPTURE(name);
        const Bytes good = test::whole(small.store, name);
        const std::size_t step = test::slowness * (good.size() < 2000 ? 7 : good.size() / 60 + 1);
        for (std::size_t at = 0; at < good.size(); at += step) {
            CAPTURE(at);
            test::flip(small.store, name, at);
            expect_found(small, CheckDepth::read_data);
        }
        test::overwrite(small.store, name, good);
    }
}

TEST_CASE("fault/vault: any object cut short") {
    SmallVault small;
    for (const std::string& name : small.names) {
        CAPTURE(name);
        const Bytes good = test::whole(small.store, name);
        for (std::size_t keep = 0; keep < good.size(); keep += good.size() / 9 + 1) {
            CAPTURE(keep);
            test::overwrite(small.store, name, ByteView{good}.first(keep));
            expect_found(small, CheckDepth::read_data);
            // Lengths are part of the structure: no data must be read to see that.
            expect_found(small, CheckDepth::structure);
        }
        Bytes longer = good;
        longer.push_back(std::byte{0});
        test::overwrite(small.store, name, longer);
        expect_found(small, CheckDepth::read_data);
        test::overwrite(small.store, name, good);
    }
}

TEST_CASE("fault/vault: any object missing; only a copy of a point is not missed") {
    SmallVault small;
    for (const std::string& name : small.names) {
        if (name.starts_with("copies/")) continue;
        CAPTURE(name);
        const Bytes good = test::whole(small.store, name);
        REQUIRE(small.store.remove(name));
        if (name == "config") {
            const auto opened = open_vault(small.store, {}, small.lab.clock());
            CHECK(opened.error().id == "vault.config_damaged");
        } else {
            expect_found(small, CheckDepth::structure);
            expect_found(small, CheckDepth::read_data);
        }
        REQUIRE(small.store.put(name, good));
    }
}

TEST_CASE("fault/vault: two objects of a kind exchanged") {
    SmallVault small;
    for (const std::string& a : small.names) {
        for (const std::string& b : small.names) {
            if (a >= b || a.substr(0, 3) != b.substr(0, 3)) continue;
            CAPTURE(a);
            CAPTURE(b);
            const Bytes in_a = test::whole(small.store, a), in_b = test::whole(small.store, b);
            test::overwrite(small.store, a, in_b);
            test::overwrite(small.store, b, in_a);
            expect_found(small, CheckDepth::read_data);
            test::overwrite(small.store, a, in_a);
            test::overwrite(small.store, b, in_b);
        }
    }
}

TEST_CASE("fault/vault: damage is named to the block") {
    SmallVault small;
    const DiskRoot& disk = small.points[1].disks[0];
    test::Saboteur{small.store, small.lab.clock()}.spoil_block(disk,
                                                               5);  // only in the second point
    const auto result = open_vault(small.store, {}, small.lab.clock())
                            .value()
                            ->check(CheckDepth::read_data, {}, {})
                            .value();
    std::vector<DamageFound> tied;
    for (const DamageFound& found : result.damage) {
        if (!found.point.empty()) tied.push_back(found);
    }
    REQUIRE(tied.size() == 1);
    CHECK(tied[0].point == small.points[1].id);
    CHECK(tied[0].disk == "vda");
    CHECK(tied[0].range == Extent{ByteOffset{5 * block}, ByteCount{block}});
}
