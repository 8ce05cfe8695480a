#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <thread>

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

TEST_CASE("vault/keys: two who remove each other's key, either killed at any call, leave one") {
    using fakes::Fault;
    constexpr std::size_t never = 1000;
    std::size_t calls = 0, refused = 0;  // of one removal alone; of removals that gave way
    {
        KeyVault vault;
        REQUIRE(add_key(vault.store, key(1), key(2)));
        fakes::FaultStore counting{vault.store};
        REQUIRE(remove_key(counting, key(1), vault.id_of(2)));
        calls = counting.calls();
        CHECK(vault.store.list("removals/").value().empty());
    }
    // We stand still before a call while the other one goes as far as it goes; then we go on.
    for (std::size_t stand = 0; stand < calls; ++stand) {
        for (std::size_t other_end = 0; other_end <= calls; ++other_end) {
            for (const std::size_t our_end : {stand + 1, stand + 2, never}) {
                CAPTURE(stand);
                CAPTURE(other_end);
                CAPTURE(our_end);
                KeyVault vault;
                REQUIRE(add_key(vault.store, key(1), key(2)));
                const std::string first = vault.id_of(1), second = vault.id_of(2);
                const auto other = [&] {
                    fakes::FaultStore theirs{vault.store, Fault::cut, other_end};
                    (void)remove_key(theirs, key(2), first);
                };
                fakes::HookStore standing{vault.store, fakes::at_call(stand), other};
                fakes::FaultStore ours{standing, Fault::cut, our_end};
                const Status removed = remove_key(ours, key(1), second);
                REQUIRE(standing.struck());
                CHECK((vault.opens(1) || vault.opens(2)));
                if (!removed && removed.error().id == "vault.key_race") ++refused;
                if (removed) CHECK_FALSE(vault.opens(2));
            }
        }
    }
    CHECK(refused > 0);
}

TEST_CASE("vault/keys: two who remove each other's key, whoever overtakes whom, leave one") {
    constexpr std::size_t calls = 14;  // more than a removal makes
    for (std::size_t theirs_at = 0; theirs_at < calls; ++theirs_at) {
        for (std::size_t ours_at = 0; ours_at < calls; ++ours_at) {
            CAPTURE(theirs_at);
            CAPTURE(ours_at);
            KeyVault vault;
            REQUIRE(add_key(vault.store, key(1), key(2)));
            const std::string first = vault.id_of(1), second = vault.id_of(2);
            std::promise<void> stand, go_on;
            // They stand before a call, we go as far as one of ours, they to the end, then we.
            fakes::HookStore theirs{vault.store, fakes::at_call(theirs_at), [&] {
                                        stand.set_value();
                                        go_on.get_future().wait();
                                    }};
            std::thread other{[&] {
                (void)remove_key(theirs, key(2), first);
                if (!theirs.struck()) stand.set_value();
            }};
            stand.get_future().wait();
            const auto let_them = [&] {
                go_on.set_value();
                other.join();
            };
            fakes::HookStore ours{vault.store, fakes::at_call(ours_at), let_them};
            (void)remove_key(ours, key(1), second);
            if (!ours.struck()) let_them();
            CHECK((vault.opens(1) || vault.opens(2)));
        }
    }
}

TEST_CASE("vault/keys: a removal that was interrupted is in nobody's way for ever") {
    for (std::size_t killed = 0;; ++killed) {
        CAPTURE(killed);
        KeyVault vault;
        REQUIRE(add_key(vault.store, key(1), key(2)));
        const std::string second = vault.id_of(2);
        fakes::FaultStore ours{vault.store, fakes::Fault::cut, killed};
        (void)remove_key(ours, key(1), second);
        if (!ours.struck()) break;
        // Whoever opens with the key in doubt may not remove the other one, but can be replaced.
        if (vault.opens(2) && !vault.store.list("removals/").value().empty()) {
            CHECK(error_of(remove_key(vault.store, key(2), vault.id_of(1))) == "vault.key_race");
            REQUIRE(rotate_key(vault.store, key(2), key(3)));
            REQUIRE(remove_key(vault.store, key(3), vault.id_of(1)));
            CHECK(vault.opens(3));
        }
        if (vault.opens(2)) REQUIRE(remove_key(vault.store, key(1), second));
        CHECK((vault.opens(1) || vault.opens(3)));
        CHECK_FALSE(vault.opens(2));
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
