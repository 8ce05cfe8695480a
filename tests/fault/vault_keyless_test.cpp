// What a check without the key finds, and what it says that it cannot find.
#include <doctest/doctest.h>

#include <algorithm>

#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"
#include "vault/gc/waits.hpp"
#include "vault/keyless_check.hpp"
#include "vault/point_copies.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;

/// An encrypted vault that has an object of every kind. Its key stays in here.
struct EveryKind {
    EveryKind() {
        const std::vector<VaultLab::Disk> first{{"vda", test::random_disk(9 * block, 1)}};
        const std::vector<VaultLab::Disk> second{{"vda", test::random_disk(7 * block, 2)}};
        const Point gone = lab.backup(first).value();
        kept = lab.backup(second).value().id;
        CHECK(lab.vault().forget(gone.id));
        run = lab.vault().begin_run(lab.new_id()).value();
        const auto core = unlock_vault(store, key, lab.clock()).value();
        CHECK(gc::put_mark(*core, {PackName{}}, "nobody"));
        CHECK(mark_recovered(*core, kept));
        const auto objects = store.list("").value();
        for (const ObjectInfo& object : objects) names.push_back(object.name);
    }
    static std::unique_ptr<Vault> made(BlockStore& store, const KeyMaterial& key) {
        static const test::LabClock clock;
        const InitOptions options{.encryption = Encryption::keyfile,
                                  .chunk_bytes = VaultLab::chunk_bytes};
        CHECK(init_vault(store, options, key));
        return open_vault(store, key, clock).value();
    }
    [[nodiscard]] CheckResult check() {
        const auto result = check_without_key(store, {});
        REQUIRE(result);
        return *result;
    }
    /// @return whether the damage was found, with the object named
    bool finds(const std::string& name) {
        const CheckResult result = check();
        return std::ranges::any_of(result.damage, [&](const DamageFound& found) {
            return found.text.find(name) != std::string::npos;
        });
    }

    MemoryStore store;
    KeyMaterial key{{}, Bytes(32, std::byte{7})};
    VaultLab lab{store, made(store, key)};
    PointId kept;
    std::unique_ptr<Run> run;  // alive, so that its object is there
    std::vector<std::string> names;
};

bool proves_itself(const std::string& name) {
    return name == "config" || name.starts_with("keys/") || name.starts_with("packs/");
}

/// Of these every length but their own is wrong.
bool length_known(const std::string& name) {
    return proves_itself(name) || name.starts_with("index/") || name.starts_with("runs/") ||
           name.starts_with("recovered/") || name.starts_with("condemned/");
}

}  // namespace

TEST_CASE("fault/keyless: an intact vault with objects of every kind has no findings") {
    EveryKind vault;
    for (const char* kind : {"config", "keys/", "packs/", "index/", "points/", "copies/", "runs/",
                             "forgotten/", "recovered/", "condemned/", "waits/"}) {
        CAPTURE(kind);
        CHECK(std::ranges::any_of(vault.names,
                                  [&](const auto& name) { return name.starts_with(kind); }));
    }
    std::uint64_t pack_bytes = 0, packs = 0;
    const auto objects = vault.store.list("packs/").value();
    for (const ObjectInfo& object : objects) {
        ++packs;
        pack_bytes += object.size.raw();
    }
    const CheckResult result = vault.check();
    for (const DamageFound& found : result.damage) MESSAGE(found.text);
    CHECK(result.damage.empty());
    CHECK(result.packs == packs);
    CHECK(result.bytes_read == pack_bytes);
    CHECK(result.points == 1);
}

TEST_CASE("fault/keyless: one flipped byte in what proves itself, or in a header") {
    EveryKind vault;
    for (const std::string& name : vault.names) {
        CAPTURE(name);
        const Bytes good = test::whole(vault.store, name);
        const std::size_t end = proves_itself(name) ? good.size() : 8;
        const std::size_t step = good.size() < 3000 || end == 8 ? 1 : good.size() / 200 + 1;
        for (std::size_t at = 0; at < end; at += step) {
            CAPTURE(at);
            test::flip(vault.store, name, at);
            CHECK(vault.finds(name));
            test::overwrite(vault.store, name, good);
        }
    }
    CHECK(vault.check().damage.empty());
}

TEST_CASE("fault/keyless: one byte cut off, taken out or added") {
    EveryKind vault;
    for (const std::string& name : vault.names) {
        if (!length_known(name)) continue;
        CAPTURE(name);
        const Bytes good = test::whole(vault.store, name);
        Bytes cut{good.begin(), good.end() - 1}, hole = good, longer = good;
        hole.erase(hole.begin() + static_cast<std::ptrdiff_t>(hole.size() / 2));
        longer.push_back(std::byte{0});
        for (const Bytes& bad : {cut, hole, longer, Bytes{}}) {
            test::overwrite(vault.store, name, bad);
            CHECK(vault.finds(name));
        }
        test::overwrite(vault.store, name, good);
    }
}

TEST_CASE("fault/keyless: two packs exchanged, and strangers") {
    EveryKind vault;
    std::vector<std::string> packs;
    std::ranges::copy_if(vault.names, std::back_inserter(packs),
                         [](const auto& name) { return name.starts_with("packs/"); });
    REQUIRE(packs.size() > 1);
    const Bytes a = test::whole(vault.store, packs[0]), b = test::whole(vault.store, packs[1]);
    test::overwrite(vault.store, packs[0], b);
    CHECK(vault.finds(packs[0]));
    test::overwrite(vault.store, packs[0], a);
    for (const char* stranger : {"other", "packs/ab/cd", "points/x", "keys/12", "runs/gc-1.0",
                                 "index/00", "copies/nobody", "waits/w", "removals/x"}) {
        CAPTURE(stranger);
        REQUIRE(vault.store.put(stranger, a));
        CHECK(vault.finds(stranger));
        REQUIRE(vault.store.remove(stranger));
    }
    REQUIRE(vault.store.put("probe/0123456789abcdef", a));
    REQUIRE(vault.store.put("removals/0123abcd.4567ef01", a));
    CHECK(vault.check().damage.empty());
}

TEST_CASE("fault/keyless: what is missing, as far as it shows") {
    EveryKind vault;
    const std::string slot = *std::ranges::find_if(
        vault.names, [](const auto& name) { return name.starts_with("keys/"); });
    const std::string pack = *std::ranges::find_if(
        vault.names, [](const auto& name) { return name.starts_with("packs/"); });
    const auto without = [&](const std::string& name) {
        const Bytes good = test::whole(vault.store, name);
        REQUIRE(vault.store.remove(name));
        const CheckResult result = vault.check();
        REQUIRE(vault.store.put(name, good));
        return result;
    };
    const CheckResult no_config = without("config");
    CHECK(no_config.damage.size() == 1);
    CHECK(no_config.packs == vault.check().packs);  // packs prove themselves all the same
    CHECK(without(slot).damage.size() == 1);
    const CheckResult no_point = without("points/" + vault.kept);
    REQUIRE(no_point.damage.size() == 1);
    CHECK(no_point.damage[0].point == vault.kept);
    // The one thing that the note says first: nobody without the key knows which packs there were.
    CHECK(without(pack).damage.empty());
    CHECK(std::string{keyless_check_note}.find("pack is missing") != std::string::npos);
}

TEST_CASE("fault/keyless: no vault is no sound vault") {
    MemoryStore store;
    CHECK(check_without_key(store, {}).error().id == "vault.missing");
}
