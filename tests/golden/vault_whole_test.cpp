// A whole vault as format version 1 wrote it: every later version opens, checks and restores it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "env/files.hpp"
#include "support/golden.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

const std::filesystem::path folder = std::filesystem::path{STILLPOINT_GOLDEN_FOLDER} / "vault-v1";
constexpr std::size_t block = VaultLab::chunk_bytes;

KeyMaterial key() {
    return {.passphrase = {}, .raw_key = Bytes(32, std::byte{0x5a})};
}

Bytes disk_of(std::size_t bytes, int salt) {
    Bytes disk;
    for (int line = 0; disk.size() < bytes; ++line) {
        const std::string text = "line " + std::to_string(line * salt) + "\n";
        disk.insert(disk.end(), as_bytes(text).begin(), as_bytes(text).end());
    }
    disk.resize(bytes);
    return disk;
}

/// Two points; the second grew, has a hole and shares the rest.
std::vector<std::vector<VaultLab::Disk>> story() {
    std::vector<VaultLab::Disk> first{{"vda", disk_of(5 * block + 512, 3)}, {"vdb", {}}};
    auto second = first;
    second[0].content.resize(9 * block);
    std::fill_n(second[0].content.begin() + block, block, std::byte{0});
    return {first, second};
}

std::string describe(VaultLab& lab) {
    std::string text;
    const auto points = lab.vault().points().value();
    for (const Point& point : points) {
        text += point.id + " " + std::string(as_text(point.document)) + "\n";
        for (const DiskRoot& disk : point.disks) {
            const Bytes bytes = lab.read(disk).value();
            text += "  " + disk.disk + " " + std::to_string(disk.size.raw()) + " root " +
                    to_hex(disk.root.view()) + " sha256 " + to_hex(chunk::sha256(bytes)) + "\n";
        }
    }
    return text;
}

void load(BlockStore& store) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator{folder}) {
        if (!entry.is_regular_file()) continue;
        const std::string name = std::filesystem::relative(entry.path(), folder).generic_string();
        REQUIRE(store.put(name, env::read_file(entry.path(), 1u << 20).value()));
    }
}

void save(BlockStore& store) {
    std::filesystem::remove_all(folder);
    const auto objects = store.list("").value();
    for (const ObjectInfo& object : objects) {
        const auto path = folder / object.name;
        std::filesystem::create_directories(path.parent_path());
        const Bytes bytes = store.get(object.name, ByteOffset{0}, object.size).value();
        REQUIRE(env::write_durably(path, bytes, 0644, path.parent_path()));
    }
}

void make() {
    MemoryStore store;
    REQUIRE(init_vault(store, {.encryption = Encryption::keyfile, .chunk_bytes = block}, key()));
    const test::LabClock clock;
    VaultLab lab{store, open_vault(store, key(), clock).value()};
    const auto disks = story();
    const Point first = lab.backup(disks[0]).value();
    REQUIRE(lab.backup(disks[1], &first, &disks[0]));
    CHECK(test::matches_golden("vault-v1.txt", describe(lab)));
    save(store);
}

}  // namespace

TEST_CASE("golden/vault: a vault of version 1 opens, is whole and restores") {
    const char* wish = std::getenv("STILLPOINT_REGENERATE_GOLDEN");
    if (wish != nullptr && std::string_view{wish} == "1") make();
    MemoryStore store;
    load(store);
    const test::LabClock clock;
    VaultLab lab{store, open_vault(store, key(), clock).value()};
    CHECK(test::matches_golden("vault-v1.txt", describe(lab)));
    CHECK(lab.vault().check(CheckDepth::read_data, {}, {}).value().damage.empty());
    const auto points = lab.vault().points().value();
    const auto disks = story();
    REQUIRE(points.size() == 2);
    for (std::size_t at = 0; at < 2; ++at) {
        CHECK(lab.read(points[at].disks[0]).value() == disks[at][0].content);
    }
    // And goes on: an increment on its last point.
    CHECK(lab.backup(disks[1], &points[1], &disks[1]).value().disks == points[1].disks);
}
