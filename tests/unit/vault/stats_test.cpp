#include <doctest/doctest.h>

#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::random_disk;
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

    // The same disk once more needs nothing but its own object.
    const Point twin = lab.backup({{"vda", other}}).value();
    const std::uint64_t object = lab.vault().point(twin.id).value().object_bytes;
    CHECK(freed(lab, {twin.id}) == object);
    CHECK(freed(lab, {second.id, twin.id}) == alone + object);
    CHECK(freed(lab, {first.id, second.id, twin.id}) >= freed(lab, {first.id}) + alone + object);
    CHECK(lab.vault().stats({.forget = {lab.new_id()}}, {}).error().id == "point.not_found");
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
