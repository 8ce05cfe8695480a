#include "vault/vault_core.hpp"

#include <optional>
#include <thread>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "env/random.hpp"
#include "vault/key_slots.hpp"
#include "vault/object_header.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::string_view purpose_prefix = "stillpoint v1 ";

chunk::ChunkHasher hasher(const chunk::SecretKey& master, const VaultId& id,
                          std::string_view purpose) {
    return chunk::ChunkHasher{chunk::hkdf_sha256(
        master.view(), id, as_bytes(std::string(purpose_prefix).append(purpose)))};
}

struct Lock {
    DecodedConfig config;
    SlotObjects slots;  // none where there is no encryption
};

/// Which slots there are is not asked of the config: where a question is a round trip, both are
/// read at once, and those of a vault that needs no key in vain.
Result<Lock> read_lock_at_once(BlockStore& store) {
    std::optional<Result<SlotObjects>> slots;
    std::optional<Result<DecodedConfig>> config;
    {
        const std::jthread beside{[&] { slots = read_key_slots(store); }};
        config = load_config(store);
    }
    if (!*config) return fail(config->error());
    if ((*config)->config.encryption == Encryption::none) return Lock{**config, {}};
    if (!*slots) return fail(slots->error());
    return Lock{**config, **slots};
}

Result<Lock> read_lock(BlockStore& store) {
    if (store.calls_at_once() > 1) return read_lock_at_once(store);
    SP_ASSIGN(const DecodedConfig config, load_config(store));
    if (config.config.encryption == Encryption::none) return Lock{config, {}};
    SP_ASSIGN(const SlotObjects slots, read_key_slots(store));
    return Lock{config, slots};
}

Result<chunk::SecretKey> master_key(const Lock& lock, const KeyMaterial& key) {
    const DecodedConfig& decoded = lock.config;
    if (decoded.config.encryption != Encryption::none) {
        const KeySlots slots = sort_key_slots(lock.slots, decoded.digest);
        SP_ASSIGN(const OpenedSlot opened, open_any_slot(slots, key, decoded));
        return opened.master;
    }
    // Who brings a key expects encryption: a store must not be able to talk us out of it.
    if (!key.passphrase.empty() || !key.raw_key.empty()) {
        return fail(Errc::denied, "vault.not_encrypted",
                    "a key was given, but the vault says that it is not encrypted",
                    "leave the key out if that is what you expect");
    }
    SP_ASSIGN(const Bytes open_key, from_hex(decoded.config.open_key));
    return chunk::SecretKey::from(open_key);
}

}  // namespace

std::string key_purpose(ObjectKind kind) {
    constexpr std::array<std::string_view, 8> kinds{"",    "pack",      "index", "point",
                                                    "run", "condemned", "key",   "waits"};
    return std::string(purpose_prefix).append(kinds.at(static_cast<std::size_t>(kind)));
}

VaultKeys::VaultKeys(const chunk::SecretKey& master, VaultId id)
    : master_(master),
      id_(id),
      data_ids_(hasher(master, id, "data ids")),
      node_ids_(hasher(master, id, "node ids")) {}

chunk::SealKey VaultKeys::object_key(ObjectKind kind, ByteView salt) const {
    return chunk::SealKey{chunk::hkdf_sha256(master_.view(), salt, as_bytes(key_purpose(kind)))};
}

VaultCore::VaultCore(BlockStore& its_store, DecodedConfig decoded, const chunk::SecretKey& master,
                     const env::Clock& its_clock, RandomSource its_random)
    : store(its_store),
      config(std::move(decoded.config)),
      keys(master, config.id),
      clock(its_clock),
      random(std::move(its_random)) {}

Result<std::shared_ptr<VaultCore>> unlock_vault(BlockStore& store, const KeyMaterial& key,
                                                const env::Clock& clock) {
    SP_ASSIGN(const Lock lock, read_lock(store));
    SP_ASSIGN(const chunk::SecretKey master, master_key(lock, key));
    return std::make_shared<VaultCore>(store, lock.config, master, clock, env::random_bytes);
}

}  // namespace stillpoint::vault
