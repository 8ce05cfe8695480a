// Vaults that the program itself wrote, one folder for each format: between them they have every
// encoding of it. Whatever reads vaults reads these for ever. tests/golden/make_vaults.py makes
// them, and says by SHA-256 what each point was made of.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "env/files.hpp"
#include "support/golden.hpp"
#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"
#include "vault/keyless_check.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

/// Each format that was ever released, and the one that is worked on.
constexpr std::array<const char*, 1> formats{"made-v1"};

struct Kind {
    std::string name;
    std::vector<KeyMaterial> keys;
};

KeyMaterial passphrase(const std::string& text) {
    return {.passphrase = text, .raw_key = {}};
}
KeyMaterial raw_key(unsigned char byte) {
    return {.passphrase = {}, .raw_key = Bytes(32, std::byte{byte})};
}

std::vector<Kind> kinds() {
    return {
        {"passphrase", {passphrase("the first passphrase"), passphrase("the second passphrase")}},
        {"keyfile", {raw_key(0x5a), raw_key(0xa5)}},
        {"none", {{}}}};
}

/// A copy of one vault in memory, opened.
struct Made {
    Made(const std::string& format, const Kind& kind)
        : folder(std::filesystem::path{STILLPOINT_GOLDEN_FOLDER} / format / kind.name),
          core(load().unlock(kind.keys.front())),
          lab(store, OpenedVault::open(core).value()) {
        lab.clock().pass(clock.monotonic() - lab.clock().monotonic());
    }

    Made& load() {
        for (const auto& entry : std::filesystem::recursive_directory_iterator{folder}) {
            if (!entry.is_regular_file()) continue;
            const auto name = std::filesystem::relative(entry.path(), folder).generic_string();
            REQUIRE(store.put(name, env::read_file(entry.path(), 1u << 20).value()));
        }
        // A day after its last point, whenever that was: the time is the head of an id.
        const std::chrono::milliseconds last{
            std::stoll(list_points(store).value().ids.back().substr(0, 12), nullptr, 16)};
        const env::Nanoseconds later = last + std::chrono::hours{24} - clock.wall();
        if (later.count() > 0) clock.pass(later);
        return *this;
    }
    std::shared_ptr<VaultCore> unlock(const KeyMaterial& key) {
        return unlock_vault(store, key, clock).value();
    }
    std::string describe(const std::string& name) {
        std::string text;
        const auto points = lab.vault().points().value();
        for (const Point& point : points) {
            for (const DiskRoot& disk : point.disks) {
                const Bytes bytes = lab.read(disk).value();
                text += name + " " + point.id + " " + disk.disk + " " +
                        to_hex(chunk::sha256(bytes)) + "\n";
            }
        }
        return text;
    }
    void see_records(std::set<std::string>& seen) {
        const auto chunks = StoredChunks::open(core).value();
        const auto packs = chunks->packs().value();
        for (const PackName& pack : packs) {
            const auto directory = chunks->directory(pack).value();
            const std::string content = directory->content == Content::data ? "data " : "map ";
            for (const DirectoryEntry& entry : directory->entries) {
                seen.insert(content + std::to_string(static_cast<int>(entry.codec)));
            }
            for (const auto& [slot, base] : directory->bases) {
                const bool here = chunks->locate_whole(base).value().pack == pack;
                seen.insert(content + (here ? "base beside" : "base elsewhere"));
            }
        }
    }
    void see_objects(std::set<std::string>& seen) {
        const auto objects = store.list("").value();
        for (const ObjectInfo& object : objects) {
            seen.insert(object.name.substr(0, object.name.find('/')));
        }
        const auto listed = list_points(store).value();
        for (const PointId& id : listed.ids) {
            if (load_point(*core, id)) continue;
            seen.insert("fence");
        }
    }

    std::filesystem::path folder;
    MemoryStore store;
    test::LabClock clock;
    std::shared_ptr<VaultCore> core;
    VaultLab lab;
};

void expect_sound(Made& made) {
    const auto deep = made.lab.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const DamageFound& found : deep.damage) FAIL_CHECK(found.text);
    const auto keyless = check_without_key(made.store, {}).value();
    for (const DamageFound& found : keyless.damage) FAIL_CHECK(found.text);
    CHECK(keyless.bytes_read == deep.bytes_read);
    const auto planned =
        made.lab.vault().repair({.mode = RepairMode::plan, .read_data = true}, {}, {}).value();
    CHECK(planned.damaged_segments + planned.indexed_packs + planned.emptied_packs == 0);
    CHECK(planned.recovered.size() + planned.rewritten.size() + planned.copied == 0);
    CHECK(planned.unreadable.empty());
}

/// The config with another format number and the checksum that belongs to it.
Bytes config_of_format(const Bytes& config, const std::string& number) {
    const std::string key = "sha256 ";
    std::string text{as_text(config)};
    text = text.substr(0, text.find(key));
    const std::string line = "format 1\n";
    text.replace(text.find(line), line.size(), "format " + number + "\n");
    text += key + to_hex(chunk::sha256(as_bytes(text))) + "\n";
    text.resize(config.size() / 2, '\n');
    return to_bytes(as_bytes(text + text));
}

}  // namespace

TEST_CASE("golden/vault: vaults that the program wrote restore, check and need no repair") {
    for (const std::string format : formats) {
        CAPTURE(format);
        std::string all;
        for (const Kind& kind : kinds()) {
            CAPTURE(kind.name);
            Made made{format, kind};
            all += made.describe(kind.name);
            expect_sound(made);
            for (const KeyMaterial& key : kind.keys) CHECK(open_vault(made.store, key, made.clock));
        }
        const Bytes wanted = test::read_golden(format + ".txt");
        CHECK(all == as_text(wanted));
    }
}

TEST_CASE("golden/vault: between them they have everything that the format has") {
    std::set<std::string> seen;
    for (const Kind& kind : kinds()) {
        Made made{"made-v1", kind};
        made.see_records(seen);
        made.see_objects(seen);
    }
    // Encodings: 0 raw, 1 zstd, 2 lz4, 3 delta.
    const std::set<std::string> wanted{"data 0",
                                       "data 1",
                                       "data 2",
                                       "data 3",
                                       "data base elsewhere",
                                       "map 0",
                                       "map 3",
                                       "map base elsewhere",
                                       "config",
                                       "keys",
                                       "packs",
                                       "index",
                                       "points",
                                       "copies",
                                       "runs",
                                       "condemned",
                                       "waits",
                                       "forgotten",
                                       "recovered",
                                       "fence"};
    CHECK(seen == wanted);
}

TEST_CASE("golden/vault: they go on: backup, gc, and every point is what it was") {
    for (const Kind& kind : kinds()) {
        CAPTURE(kind.name);
        Made made{"made-v1", kind};
        const std::string before = made.describe(kind.name);
        const Point last = made.lab.vault().points().value().back();
        VaultLab::Disk disk{"vda", made.lab.read(last.disks.at(0)).value()};
        VaultLab::Disk now = disk;
        now.content[5000] ^= std::byte{1};
        const std::vector<VaultLab::Disk> was{disk};
        const Point next = made.lab.backup({now}, &last, &was).value();
        const GcResult collected =
            made.lab.vault().collect({.repack_below_percent = 100}, {}, {}).value();
        // What was condemned waited for a backup that nobody waits for any more.
        CHECK((collected.freed_packs > 0) == (kind.name == "passphrase"));
        CHECK(made.describe(kind.name).starts_with(before));
        CHECK(made.lab.read(next.disks.at(0)).value() == now.content);
        expect_sound(made);
    }
}

TEST_CASE("golden/vault: one of a newer format says so, to whoever opens or checks it") {
    for (const Kind& kind : kinds()) {
        CAPTURE(kind.name);
        Made made{"made-v1", kind};
        const Bytes config = test::whole(made.store, "config");
        CHECK(config_of_format(config, "1") == config);
        test::overwrite(made.store, "config", config_of_format(config, "2"));
        const auto opened = open_vault(made.store, kind.keys.front(), made.clock);
        REQUIRE_FALSE(opened);
        CHECK(opened.error().id == "vault.newer_format");
        CHECK(opened.error().code == Errc::unsupported);
        CHECK(opened.error().text == "the vault has format 2, this version knows 1");
        const auto checked = check_without_key(made.store, {});
        REQUIRE_FALSE(checked);
        CHECK(checked.error().id == "vault.newer_format");
    }
}
