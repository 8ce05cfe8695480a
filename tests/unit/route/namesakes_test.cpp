#include "route/namesakes.hpp"

#include <doctest/doctest.h>

#include "fakes/plain_disk.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::route;
using serialization::DiskMode;

namespace {

constexpr std::uint32_t chunk_bytes = test::VaultLab::chunk_bytes;

/// A disk of blocks that hold one value each; 0: zeros.
Bytes disk_of(std::initializer_list<int> blocks) {
    Bytes disk;
    for (const int value : blocks) disk.resize(disk.size() + chunk_bytes, std::byte(value));
    return disk;
}

extents::ExtentSet dirty_blocks(unsigned mask) {
    std::vector<Extent> dirty;
    for (unsigned block = 0; mask != 0; ++block, mask >>= 1) {
        if ((mask & 1) == 0) continue;
        dirty.push_back({ByteOffset{std::uint64_t{block} * chunk_bytes}, ByteCount{chunk_bytes}});
    }
    return extents::normalize(std::move(dirty));
}

/// A point of vda and vdb, and an increment of vda from some image.
struct Pair {
    Pair(const Bytes& vda, const Bytes& vdb) {
        point = lab.backup({{"vda", vda}, {"vdb", vdb}}).value();
    }
    Result<std::optional<Unmasked>> unmask(const Bytes& image, const extents::ExtentSet& dirty) {
        fakes::PlainDisk view{image, dirty};
        const auto parent = lab.vault().open_disk(point.disks[0]).value();
        const AuditTask task{.view = view, .vault = lab.vault(), .parent = *parent, .dirty = dirty};
        return route::unmask(task, point.disks[0], {point.disks[1]}, {});
    }
    vault::MemoryStore store;
    test::VaultLab lab{store};
    vault::Point point;
};

}  // namespace

TEST_CASE(
    "route/namesakes: every exchange of small images is seen, or an increment is right (I3)") {
    // Three blocks of data or zeros, on both disks, and every bitmap.
    std::vector<Bytes> disks;
    for (int n = 0; n < 8; ++n) disks.push_back(disk_of({n & 1, n >> 1 & 1, n >> 2}));
    for (const Bytes& vda : disks) {
        for (const Bytes& vdb : disks) {
            Pair pair{vda, vdb};
            for (unsigned written = 0; written < 8; ++written) {
                const extents::ExtentSet dirty = dirty_blocks(written);
                Bytes image = vdb;  // in vda's place, written to since
                bool right = true;  // building on vda's map what is dirty in the image
                for (std::size_t at = 0; at < image.size(); ++at) {
                    const bool clean = (written >> (at / chunk_bytes) & 1) == 0;
                    if (!clean) image[at] = std::byte{9};
                    right = right && (!clean || vda[at] == vdb[at]);
                }
                const auto unmasked = pair.unmask(image, dirty).value();
                CHECK(unmasked.has_value() != right);
                CHECK((!unmasked || unmasked->mode == DiskMode::compare));
            }
        }
    }
}

TEST_CASE("route/namesakes: a disk that is its own is none, whatever was written to it") {
    const Bytes vda = disk_of({1, 2, 0, 4}), vdb = disk_of({4, 2, 1, 0});
    Pair pair{vda, vdb};
    for (unsigned written = 0; written < 16; ++written) {
        Bytes image = vda;
        for (std::size_t at = 0; at < image.size(); ++at) {
            if ((written >> (at / chunk_bytes) & 1) != 0) image[at] = vdb[at];
        }
        CHECK_FALSE(pair.unmask(image, dirty_blocks(written)).value());
    }
}

TEST_CASE("route/namesakes: other sizes, and a last block that is no whole chunk") {
    Bytes vda = disk_of({1, 2, 3}), vdb = disk_of({1, 2, 3, 4});
    vda.resize(vda.size() - 512);
    Pair pair{vda, vdb};
    // vdb stands in for vda: its tail is past vda's end and counts as dirty from there on.
    CHECK_FALSE(pair.unmask(vdb, dirty_blocks(0b1100)).value());
    CHECK_FALSE(pair.unmask(vda, {}).value());
    vdb[0] = std::byte{7};
    Pair other{vda, vdb};
    CHECK(other.unmask(vdb, dirty_blocks(0b1100)).value());
    CHECK_FALSE(other.unmask(vda, {}).value());
}

TEST_CASE("route/namesakes: what a damaged map does not tell is read in full") {
    const Bytes vda = disk_of({1, 2}), vdb = disk_of({1, 3});
    Pair pair{vda, vdb};
    pair.point.disks[1].root.value[0] ^= std::byte{1};
    const auto unmasked = pair.unmask(vda, {}).value();
    REQUIRE(unmasked);
    CHECK(unmasked->mode == DiskMode::full);
    CHECK(unmasked->reason.find("vdb cannot be told") != std::string::npos);
}

TEST_CASE("route/namesakes: zeros may be those of a disk that was cut, and the reason says so") {
    const Bytes vda = disk_of({1, 2});
    Pair pair{vda, disk_of({1, 0})};
    const auto cut = pair.unmask(disk_of({1, 0}), {}).value();
    REQUIRE(cut);
    CHECK(cut->reason.find("or cut and grown again") != std::string::npos);
    Pair other{vda, disk_of({1, 3})};
    const auto replaced = other.unmask(disk_of({1, 3}), {}).value();
    REQUIRE(replaced);
    CHECK(replaced->reason.find("cut") == std::string::npos);
}

TEST_CASE(
    "route/namesakes: what is neither the disk's own nor the other's is the audit's to find") {
    Pair pair{disk_of({1, 2}), disk_of({1, 3})};
    CHECK_FALSE(pair.unmask(disk_of({1, 4}), {}).value());
}
