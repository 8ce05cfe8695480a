#include <doctest/doctest.h>

#include <algorithm>

#include "fakes/fault_store.hpp"
#include "fakes/hook_store.hpp"
#include "vault/init.hpp"
#include "vault/key_slots.hpp"
#include "vault/memory_store.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

KeyMaterial key(int number) {
    return {{}, Bytes(32, static_cast<std::byte>(number))};
}

struct KeyVault {
    KeyVault() { REQUIRE(init_vault(store, {.encryption = Encryption::keyfile}, key(1))); }
    [[nodiscard]] bool opens(int number) {
        return unlock_vault(store, key(number), clock).has_value();
    }
    [[nodiscard]] std::size_t slots() { return store.list("keys/").value().size(); }
    /// @return the id of the slot that a key opens
    [[nodiscard]] std::string id_of(int number) {
        const auto keys = list_keys(store, key(number)).value();
        return std::ranges::find(keys, true, &KeyInfo::opened)->id;
    }
    MemoryStore store;
    test::SplitClock clock;
};

template <class T>
std::string error_of(const T& result) {
    return result ? "" : result.error().id;
}

}  // namespace

TEST_CASE("vault/keys: an added key opens the same vault, the old one still does") {
    KeyVault vault;
    const auto ids = [&](int number) {
        return unlock_vault(vault.store, key(number), vault.clock)
            .value()
            ->keys.data_ids()
            .id_of({});
    };
    const auto added = add_key(vault.store, key(1), key(2));
    REQUIRE(added);
    CHECK(ids(1) == ids(2));
    const auto keys = list_keys(vault.store, key(2)).value();
    REQUIRE(keys.size() == 2);
    for (const KeyInfo& info : keys) {
        CHECK(info.opened == (info.id == *added));
        CHECK(info.encryption == Encryption::keyfile);
        CHECK_FALSE(info.damaged);
    }
}

TEST_CASE("vault/keys: a passphrase is added to a vault that a passphrase opens") {
    MemoryStore store;
    test::SplitClock clock;
    REQUIRE(init_vault(store, {}, {"correct horse", {}}));
    REQUIRE(add_key(store, {"correct horse", {}}, {"battery staple", {}}));
    CHECK(unlock_vault(store, {"battery staple", {}}, clock));
    CHECK(error_of(add_key(store, {"correct horse", {}}, {"", {}})) == "vault.key_invalid");
    CHECK(error_of(add_key(store, {"correct horse", {}}, {"battery staple", {}})) ==
          "vault.key_known");
}

TEST_CASE("vault/keys: what is removed opens nothing; the last one cannot be") {
    KeyVault vault;
    REQUIRE(add_key(vault.store, key(1), key(2)));
    const std::string first = vault.id_of(1);
    CHECK(error_of(remove_key(vault.store, key(1), first)) == "vault.key_in_use");
    CHECK(error_of(remove_key(vault.store, key(1), "0badc0de")) == "vault.no_such_key");
    CHECK(error_of(remove_key(vault.store, key(3), first)) == "vault.wrong_key");
    CHECK(vault.slots() == 2);
    REQUIRE(remove_key(vault.store, key(2), first));
    CHECK_FALSE(vault.opens(1));
    CHECK(vault.opens(2));
    CHECK(error_of(remove_key(vault.store, key(2), vault.id_of(2))) == "vault.key_in_use");
}

TEST_CASE("vault/keys: rotating puts the new key in the place of the old one") {
    KeyVault vault;
    REQUIRE(add_key(vault.store, key(1), key(2)));
    CHECK(error_of(rotate_key(vault.store, key(1), key(1))) == "vault.key_known");
    CHECK(error_of(rotate_key(vault.store, key(1), key(2))) == "vault.key_known");
    REQUIRE(rotate_key(vault.store, key(1), key(3)));
    CHECK_FALSE(vault.opens(1));
    CHECK(vault.opens(2));
    CHECK(vault.opens(3));
    CHECK(vault.slots() == 2);
}

TEST_CASE("vault/keys: a damaged slot is listed, and can be removed") {
    KeyVault vault;
    const auto added = add_key(vault.store, key(1), key(2)).value();
    const std::string object = "keys/" + added;
    REQUIRE(vault.store.remove(object));
    REQUIRE(vault.store.put(object, Bytes(512)));
    const auto keys = list_keys(vault.store, key(1)).value();
    const auto found = std::ranges::find(keys, added, &KeyInfo::id);
    REQUIRE(found != keys.end());
    CHECK(found->damaged);
    REQUIRE(remove_key(vault.store, key(1), added));
    CHECK(vault.slots() == 1);
}

TEST_CASE("vault/keys: sixteen and no more, and none for a vault without encryption") {
    KeyVault vault;
    for (int number = 2; number <= 16; ++number) {
        REQUIRE(add_key(vault.store, key(1), key(number)));
    }
    CHECK(error_of(add_key(vault.store, key(1), key(17))) == "vault.keys_full");
    CHECK(vault.slots() == 16);
    MemoryStore open;
    REQUIRE(init_vault(open, {.encryption = Encryption::none}, {}));
    CHECK(error_of(add_key(open, {}, key(1))) == "vault.no_keys");
}

TEST_CASE("vault/keys: two who remove each other's key leave one that opens") {
    for (const std::size_t before_list : {0, 2}) {  // before our removal; before we look again
        CAPTURE(before_list);
        KeyVault vault;
        REQUIRE(add_key(vault.store, key(1), key(2)));
        const std::string first = vault.id_of(1), second = vault.id_of(2);
        const auto other = [&] { (void)remove_key(vault.store, key(2), first); };
        std::size_t lists = 0;
        fakes::HookStore ours{vault.store,
                              [&](const std::string& call) {
                                  if (call.starts_with("list keys/")) ++lists;
                                  return before_list == 0 ? call.starts_with("remove keys/")
                                                          : lists == before_list;
                              },
                              other};
        const Status removed = remove_key(ours, key(1), second);
        REQUIRE(ours.struck());
        CHECK((vault.opens(1) || vault.opens(2)));
        CHECK((removed || removed.error().id == "vault.key_race"));
    }
}

TEST_CASE("vault/keys: whatever call of the store fails, the old or the new key opens") {
    using fakes::Fault;
    for (const Fault fault : {Fault::fail, Fault::lost, Fault::cut, Fault::cut_after}) {
        for (std::size_t at = 0;; ++at) {
            CAPTURE(at);
            KeyVault vault;
            fakes::FaultStore failing{vault.store, fault, at};
            const auto rotated = rotate_key(failing, key(1), key(2));
            CHECK((vault.opens(1) || vault.opens(2)));
            CHECK((!rotated || !vault.opens(1)));
            if (!failing.struck()) {
                CHECK(rotated);
                break;
            }
        }
    }
}
