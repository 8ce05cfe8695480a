#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>

#include "fakes/fault_store.hpp"
#include "vault/init.hpp"
#include "vault/key_slots.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

const KeyMaterial no_key;
const KeyMaterial raw_key{{}, Bytes(32, std::byte{9})};
const KeyMaterial passphrase{"correct horse", {}};

InitOptions with(Encryption encryption) {
    InitOptions options;
    options.encryption = encryption;
    return options;
}

/// Replaces an object's bytes, which no store of ours can do.
void replace(BlockStore& store, const std::string& name, ByteView bytes) {
    REQUIRE(store.remove(name));
    REQUIRE(store.put(name, bytes));
}

Bytes content_of(BlockStore& store, const std::string& name) {
    return store.get(name, ByteOffset{0}, store.size(name).value()).value();
}

struct KeyfileVault {
    KeyfileVault() {
        REQUIRE(init_vault(store, with(Encryption::keyfile), raw_key));
        slot = store.list("keys/").value().at(0).name;
    }
    [[nodiscard]] std::string unlock_error(const KeyMaterial& key) {
        const auto core = unlock_vault(store, key, clock);
        return core ? "" : core.error().id;
    }
    MemoryStore store;
    test::SplitClock clock;
    std::string slot;
};

}  // namespace

TEST_CASE("vault/unlock: each kind of vault opens with its key and only with it") {
    test::SplitClock clock;
    const auto error_of = [&](BlockStore& store, const KeyMaterial& key) {
        const auto core = unlock_vault(store, key, clock);
        return core ? "" : core.error().id;
    };
    MemoryStore open, file, words;
    REQUIRE(init_vault(open, with(Encryption::none), no_key));
    REQUIRE(init_vault(file, with(Encryption::keyfile), raw_key));
    REQUIRE(init_vault(words, with(Encryption::passphrase), passphrase));

    CHECK(error_of(open, no_key).empty());
    CHECK(error_of(open, passphrase) == "vault.not_encrypted");
    CHECK(error_of(open, raw_key) == "vault.not_encrypted");

    CHECK(error_of(file, raw_key).empty());
    CHECK(error_of(file, {{}, Bytes(32, std::byte{8})}) == "vault.wrong_key");
    CHECK(error_of(file, no_key) == "vault.key_needed");
    CHECK(error_of(file, passphrase) == "vault.key_needed");

    CHECK(error_of(words, passphrase).empty());
    CHECK(error_of(words, {"correct hose", {}}) == "vault.wrong_key");
    CHECK(error_of(words, no_key) == "vault.key_needed");
    CHECK(unlock_vault(words, {"x", {}}, clock).error().code == Errc::denied);
}

TEST_CASE("vault/unlock: the same key gives the same ids, another vault other ones") {
    KeyfileVault a, b;
    const auto id_in = [](KeyfileVault& vault) {
        return unlock_vault(vault.store, raw_key, vault.clock).value()->keys.data_ids().id_of({});
    };
    CHECK(id_in(a) == id_in(a));
    CHECK(id_in(a) != id_in(b));
    const auto core = unlock_vault(a.store, raw_key, a.clock).value();
    CHECK(core->keys.data_ids().id_of({}) != core->keys.node_ids().id_of({}));
}

TEST_CASE(
    "vault/unlock: any damaged byte of a slot is healed and reported; both copies are damage") {
    KeyfileVault vault;
    const Bytes whole = content_of(vault.store, vault.slot);
    for (std::size_t at = 0; at < whole.size(); ++at) {
        CAPTURE(at);
        Bytes changed = whole;
        changed[at] ^= std::byte{0x40};
        replace(vault.store, vault.slot, changed);
        CHECK(vault.unlock_error(raw_key).empty());
        CHECK(check_plain_objects(vault.store).value().size() == 1);
        changed[(at + whole.size() / 2) % whole.size()] ^= std::byte{0x40};
        replace(vault.store, vault.slot, changed);
        CHECK(vault.unlock_error(raw_key) == "vault.key_damaged");
    }
    replace(vault.store, vault.slot, whole);
    CHECK(check_plain_objects(vault.store).value().empty());
}

TEST_CASE("vault/unlock: a missing or cut slot is damage, not a wrong key") {
    KeyfileVault vault;
    const Bytes whole = content_of(vault.store, vault.slot);
    replace(vault.store, vault.slot, ByteView{whole}.first(whole.size() - 1));
    CHECK(vault.unlock_error(raw_key).empty());
    replace(vault.store, vault.slot, ByteView{whole}.first(whole.size() / 2 - 1));
    CHECK(vault.unlock_error(raw_key) == "vault.key_damaged");
    REQUIRE(vault.store.remove(vault.slot));
    const auto missing = unlock_vault(vault.store, raw_key, vault.clock);
    CHECK(missing.error().id == "vault.key_damaged");
    CHECK(missing.error().code == Errc::corrupt);
}

TEST_CASE("vault/unlock: a config that somebody put in place of ours is refused") {
    KeyfileVault vault, other;
    const Bytes foreign = content_of(other.store, "config");
    replace(vault.store, "config", foreign);
    CHECK(vault.unlock_error(raw_key) == "vault.config_damaged");
    // Not even when it claims that there is no encryption and brings a key of its own.
    MemoryStore open;
    REQUIRE(init_vault(open, with(Encryption::none), no_key));
    replace(vault.store, "config", content_of(open, "config"));
    CHECK(vault.unlock_error(raw_key) == "vault.not_encrypted");
}

namespace {

/// An object store: config and the list of slots are asked for side by side, and so are the slots.
/// Each question waits until its companion was asked as well, or gives up.
class Companions final : public BlockStore {
public:
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        if (name.starts_with("keys/")) meet(slots_, 2);
        return memory.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override {
        if (name == "config") meet(first_, 2);
        return memory.size(name);
    }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        if (prefix == "keys/") meet(first_, 2);
        return memory.list(prefix);
    }
    Status put(const std::string& name, ByteView bytes) override { return memory.put(name, bytes); }
    Status remove(const std::string& name) override { return memory.remove(name); }
    [[nodiscard]] std::string describe() const override { return "companions"; }
    [[nodiscard]] unsigned calls_at_once() const override { return 8; }
    [[nodiscard]] bool all_met() const { return met_ == 4; }

    MemoryStore memory;

private:
    void meet(unsigned& asked, unsigned wanted) {
        std::unique_lock lock{mutex_};
        ++asked;
        asked_.notify_all();
        const auto there = [&] { return asked >= wanted; };
        if (asked_.wait_for(lock, std::chrono::seconds{20}, there)) ++met_;
    }
    std::mutex mutex_;
    std::condition_variable asked_;
    unsigned first_ = 0, slots_ = 0, met_ = 0;
};

}  // namespace

TEST_CASE("vault/unlock: where each question is a round trip, config and slots are read at once") {
    Companions store;
    REQUIRE(init_vault(store.memory, with(Encryption::keyfile), raw_key));
    REQUIRE(add_key(store.memory, raw_key, {{}, Bytes(32, std::byte{8})}));
    test::SplitClock clock;
    CHECK(unlock_vault(store, raw_key, clock));
    CHECK(store.all_met());
    REQUIRE(store.memory.remove("config"));
    CHECK(unlock_vault(store, raw_key, clock).error().id == "vault.missing");
}

TEST_CASE("vault/unlock: a slot copied under another name does not open") {
    KeyfileVault vault;
    const Bytes slot = content_of(vault.store, vault.slot);
    REQUIRE(vault.store.remove(vault.slot));
    REQUIRE(vault.store.put("keys/other", slot));
    CHECK(vault.unlock_error(raw_key) == "vault.wrong_key");
}

TEST_CASE("vault/key: work factors beyond the bounds are not spent") {
    KeySlot slot;
    slot.method = KeyMethod::passphrase;
    for (const ArgonCost cost : {ArgonCost{16, 1u << 20}, ArgonCost{1, 8}}) {
        slot.cost = cost;
        CHECK(decode_key_slot(encode_key_slot(slot)).slot == slot);
    }
    slot.cost = ArgonCost{};
    const Bytes whole = encode_key_slot(slot);
    // passes and memory lie behind header and method
    for (const auto& [at, value] :
         {std::pair{44u, 17u}, {44u, 0u}, {48u, (1u << 20) + 1}, {48u, 7u}}) {
        Bytes copy = to_bytes(ByteView{whole}.first(224));
        for (unsigned i = 0; i < 4; ++i) copy[at + i] = static_cast<std::byte>(value >> (8 * i));
        ByteWriter{copy}.raw(chunk::sha256(copy));
        CHECK_FALSE(decode_key_slot(copy).slot);
    }
}

TEST_CASE("vault/init: refuses what cannot work and what is there already") {
    MemoryStore store;
    CHECK(init_vault(store, with(Encryption::passphrase), no_key).error().code == Errc::invalid);
    CHECK(init_vault(store, with(Encryption::keyfile), {{}, Bytes(31)}).error().code ==
          Errc::invalid);
    CHECK(init_vault(store, with(Encryption::none), raw_key).error().code == Errc::invalid);
    for (const std::uint32_t bytes : {0u, 8u << 10, 100'000u, 2u << 20}) {
        InitOptions options = with(Encryption::none);
        options.chunk_bytes = bytes;
        CHECK(init_vault(store, options, no_key).error().id == "vault.chunk_bytes");
    }
    CHECK(store.list("").value().empty());
    REQUIRE(init_vault(store, with(Encryption::none), no_key));
    CHECK(init_vault(store, with(Encryption::none), no_key).error().id == "vault.exists");
    MemoryStore packs_only;
    REQUIRE(packs_only.put("packs/ab/abcd", {}));
    CHECK(init_vault(packs_only, with(Encryption::none), no_key).error().id == "vault.exists");
}

TEST_CASE("vault/init: says what it made, readable without a key") {
    MemoryStore store;
    InitOptions options{Encryption::keyfile, Compression::lz4, 256u << 10};
    REQUIRE(init_vault(store, options, raw_key));
    const auto read = read_vault_config(store).value();
    CHECK(read.encryption == options.encryption);
    CHECK(read.compression == options.compression);
    CHECK(read.chunk_bytes == options.chunk_bytes);
}

TEST_CASE(
    "vault/init: with a fault at any step there is no vault or a whole one, and it can be run "
    "again") {
    using fakes::Fault;
    test::SplitClock clock;
    for (const auto encryption : {Encryption::none, Encryption::keyfile}) {
        const KeyMaterial& key = encryption == Encryption::none ? no_key : raw_key;
        for (const Fault fault : {Fault::fail, Fault::lost, Fault::cut, Fault::cut_after}) {
            for (std::size_t at = 0;; ++at) {
                CAPTURE(at);
                MemoryStore store;
                fakes::FaultStore faulty{store, fault, at};
                const Status made = init_vault(faulty, with(encryption), key);
                if (!faulty.struck()) {
                    CHECK(made);
                    break;
                }
                const auto found = unlock_vault(store, key, clock);
                if (!found) {
                    CHECK(found.error().id == "vault.missing");
                    REQUIRE(init_vault(store, with(encryption), key));
                    CHECK(unlock_vault(store, key, clock));
                }
            }
        }
    }
}
