#include <doctest/doctest.h>

#include "support/pack_frame.hpp"
#include "support/vault_lab.hpp"
#include "vault/pack_format.hpp"
#include "vault/sealed_object.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;

Bytes noise(std::size_t bytes, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    Bytes out(bytes);
    for (std::byte& byte : out) byte = static_cast<std::byte>(random());
    return out;
}

std::uint64_t freed(VaultLab& lab, const std::vector<PointId>& points) {
    return *lab.vault().stats({.forget = points}, {}).value().freed_bytes;
}

}  // namespace

TEST_CASE("vault/stats: what forgetting frees is what only those points need") {
    MemoryStore store;
    VaultLab lab{store};
    const Point first = lab.backup({{"vda", noise(40 * block, 1)}}).value();
    const Stats before = lab.vault().stats({}, {}).value();
    const Bytes other = noise(70 * block, 2);
    const Point second = lab.backup({{"vda", other}}).value();
    const Stats after = lab.vault().stats({}, {}).value();
    CHECK_FALSE(after.freed_bytes);

    const std::uint64_t alone = freed(lab, {second.id});
    CHECK(alone > after.chunk_bytes_stored - before.chunk_bytes_stored + second.object_bytes);
    CHECK(alone < after.stored_bytes - before.stored_bytes);

    // The same disk once more needs nothing but its own object and that one's copy.
    const Point twin = lab.backup({{"vda", other}}).value();
    const std::uint64_t own = 2 * lab.vault().point(twin.id).value().object_bytes;
    CHECK(freed(lab, {twin.id}) == own);
    CHECK(freed(lab, {second.id, twin.id}) == alone + own);
    CHECK(freed(lab, {first.id, second.id, twin.id}) >= freed(lab, {first.id}) + alone + own);
    CHECK(lab.vault().stats({.forget = {lab.new_id()}}, {}).error().id == "point.not_found");
}

TEST_CASE(
    "vault/stats: what it says is what gc frees, to the byte, bases of differences included") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const auto bytes_of = [&] {
        const auto core = unlock_vault(store, {}, lab.clock()).value();
        std::uint64_t sum = 0;
        for (const char* prefix : {"packs/", "points/", "copies/"}) {
            const auto objects = store.list(prefix).value();
            for (const ObjectInfo& object : objects) {
                const bool pack = object.name.starts_with("packs/");
                sum += pack ? test::record_share(*core, object) : object.size.raw();
            }
        }
        return sum;
    };
    std::vector<VaultLab::Disk> disks{{"vda", noise(70 * block, 1)}};
    std::vector<Point> points{lab.backup(disks).value()};
    for (std::size_t i = 0; i < 3; ++i) {
        auto next = disks;
        for (std::size_t at = 5 * i; at < 5 * i + 20; ++at)
            next[0].content[at * block] ^= std::byte{9};
        std::copy_n(noise(4 * block, 50 + i).begin(), 4 * block, next[0].content.begin());
        points.push_back(lab.backup(next, &points.back(), &disks).value());
        disks = next;
    }
    for (const std::size_t at : {0u, 2u, 1u}) {
        const std::uint64_t expected = freed(lab, {points[at].id});
        const std::uint64_t before = bytes_of();
        REQUIRE(lab.vault().forget(points[at].id));
        REQUIRE(lab.vault().collect({.repack_below_percent = 100}, {}, {}));
        CHECK(before - bytes_of() == expected);
    }
    CHECK(lab.read(points.back().disks.at(0)).value() == disks[0].content);
}

TEST_CASE("vault/stats: data counts each point's blocks, the last at its true length") {
    MemoryStore store;
    VaultLab lab{store};
    Bytes disk = noise(200 * block + 77, 3);
    std::fill_n(disk.begin() + 3 * block, 5 * block, std::byte{0});
    REQUIRE(lab.backup({{"vda", disk}, {"vdb", Bytes(9 * block)}}));
    REQUIRE(lab.backup({{"vda", disk}}));
    const Stats stats = lab.vault().stats({.read_maps = true}, {}).value();
    CHECK(*stats.data_bytes == 2 * (195 * block + 77));
    CHECK(stats.unique_bytes == 195 * block + 77);
    CHECK(stats.chunk_bytes_stored > stats.unique_bytes);  // noise, and its seals
    CHECK_FALSE(lab.vault().stats({}, {}).value().data_bytes);
}

TEST_CASE("vault/check: says how far it is, forwards and to the end, in both depths") {
    MemoryStore store;
    VaultLab lab{store};
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        REQUIRE(lab.backup({{"vda", test::random_disk(6 * VaultLab::chunk_bytes, seed)}}));
    }
    for (const CheckDepth depth : {CheckDepth::structure, CheckDepth::read_data}) {
        std::vector<std::uint64_t> told;
        std::uint64_t all = 0;
        const auto note = [&](std::uint64_t done, std::uint64_t total) {
            told.push_back(done);
            all = total;
        };
        const auto found = lab.vault().check(depth, note, {}).value();
        CHECK(found.damage.empty());
        REQUIRE(told.size() >= 4);
        CHECK(std::is_sorted(told.begin(), told.end()));
        CHECK(told.back() == all);
        CHECK(all == (depth == CheckDepth::structure ? found.points : found.bytes_read));
    }
}
