#include "route/points_diff.hpp"

#include <doctest/doctest.h>

#include "support/vault_lab.hpp"

using namespace stillpoint;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;

Bytes pattern(std::size_t bytes, unsigned seed) {
    Bytes out(bytes);
    for (std::size_t at = 0; at < bytes; ++at) out[at] = static_cast<std::byte>(at / 100 + seed);
    return out;
}

}  // namespace

TEST_CASE("points diff: blocks written and zeroed, sizes, and disks that one point has not") {
    vault::MemoryStore store;
    VaultLab lab{store};
    Bytes disk = pattern(300 * block, 1);
    const auto first =
        lab.backup({{"vda", disk}, {"vdb", pattern(2 * block, 2)}, {"vdc", disk}, {"@nvram", disk}})
            .value();
    for (const std::size_t at : {4u, 5u, 250u}) disk[at * block + 7] ^= std::byte{1};
    std::fill_n(disk.begin() + 100 * block, 2 * block, std::byte{0});
    disk.resize(300 * block + 10, std::byte{9});
    const auto second =
        lab.backup({{"vda", disk}, {"vdc", pattern(300 * block, 1)}, {"vdd", disk}, {"@tpm", disk}})
            .value();

    const auto report = route::diff_points(lab.vault(), {first.id, second.id, true}, {}).value();
    CHECK(report.before == first.id);
    CHECK(report.now == second.id);
    CHECK(report.only_before == std::vector<std::string>{"vdb"});
    CHECK(report.only_now == std::vector<std::string>{"vdd"});
    REQUIRE(report.disks.size() == 2);
    const auto& vda = report.disks[0];
    CHECK(vda.size_before == 300 * block);
    CHECK(vda.size_now == 300 * block + 10);
    CHECK(vda.changed == 5 * block + 10);
    CHECK(vda.zeroed == 2 * block);
    REQUIRE(vda.extents.size() == 4);
    CHECK(vda.extents[0].offset == 4 * block);
    CHECK(vda.extents[0].length == 2 * block);
    CHECK(vda.extents[1].offset == 100 * block);
    CHECK(vda.extents[3].offset == 300 * block);
    CHECK(vda.extents[3].length == 10);
    CHECK(report.disks[1].changed == 0);

    const auto brief = route::diff_points(lab.vault(), {second.id, first.id, false}, {}).value();
    CHECK(brief.disks[0].changed == 5 * block + 10);
    CHECK(brief.disks[0].zeroed == 10);  // past the end of the smaller one
    CHECK(brief.disks[0].extents.empty());
    CHECK(route::diff_points(lab.vault(), {first.id, "ffffffff"}, {}).error().id ==
          "point.not_found");
}
