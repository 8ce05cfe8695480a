#include "vault/vault_core.hpp"

#include "base/check.hpp"
#include "base/hex.hpp"
#include "env/random.hpp"
#include "vault/key_slot.hpp"
#include "vault/object_header.hpp"
#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::string_view purpose_prefix = "stillpoint v1 ";

chunk::ChunkHasher hasher(const chunk::SecretKey& master, const VaultId& id,
                          std::string_view purpose) {
    return chunk::ChunkHasher{chunk::hkdf_sha256(
        master.view(), id, as_bytes(std::string(purpose_prefix).append(purpose)))};
}

struct Slots {
    std::vector<std::pair<std::string, KeySlot>> ours;
    std::size_t foreign = 0;  // left by an init that never finished
    std::size_t unreadable = 0;
};

Result<Bytes> read_slot_object(BlockStore& store, const ObjectInfo& object) {
    constexpr std::uint64_t slot_bytes_max = 4096;
    const ByteCount length{std::min(object.size.raw(), slot_bytes_max)};
    return store.get(object.name, ByteOffset{0}, length);
}

Result<Slots> load_slots(BlockStore& store, const chunk::Digest& config_digest) {
    SP_ASSIGN(const auto objects, store.list(names::keys));
    Slots slots;
    for (const ObjectInfo& object : objects) {
        SP_ASSIGN(const Bytes bytes, read_slot_object(store, object));
        const auto decoded = decode_key_slot(bytes);
        if (!decoded.slot) {
            ++slots.unreadable;
        } else if (decoded.slot->config_digest != config_digest) {
            ++slots.foreign;
        } else if (slots.ours.size() < key_slots_max) {
            slots.ours.emplace_back(object.name, *decoded.slot);
        }
    }
    return slots;
}

tl::unexpected<Error> no_slot(const Slots& slots) {
    if (slots.foreign > 0 && slots.unreadable == 0) {
        return fail(Errc::corrupt, "vault.config_damaged",
                    "the vault's config was replaced: no key slot belongs to it",
                    "put the object 'config' back from another copy of the vault");
    }
    return fail(Errc::corrupt, "vault.key_damaged",
                slots.unreadable > 0 ? "the vault's key slots are damaged"
                                     : "the vault's key slots are missing",
                "put the objects under keys/ back from another copy of the vault");
}

bool fits(const KeySlot& slot, const KeyMaterial& key) {
    return slot.method == KeyMethod::passphrase ? !key.passphrase.empty()
                                                : key.raw_key.size() == chunk::SecretKey::bytes;
}

Result<chunk::SecretKey> unwrap_any(const Slots& slots, const KeyMaterial& key,
                                    const DecodedConfig& decoded) {
    std::size_t tried = 0;
    for (const auto& [name, slot] : slots.ours) {
        if (!fits(slot, key)) continue;
        ++tried;
        auto master = unwrap_master(slot, key, {decoded.config.id, decoded.digest, name});
        if (master || master.error().code != Errc::denied) return master;
    }
    // A slot that cannot be read may be the one this key opens: damage is the honest answer.
    if (slots.ours.empty() || slots.unreadable > 0) return no_slot(slots);
    if (tried == 0) {
        return fail(Errc::denied, "vault.key_needed",
                    "the vault is encrypted and no key that fits its slots was given",
                    decoded.config.encryption == Encryption::keyfile
                        ? "give the raw key with --key-file"
                        : "give the passphrase with --key-file or at the terminal");
    }
    return fail(Errc::denied, "vault.wrong_key", "no key slot of the vault opens with this key",
                "check that key and vault belong together");
}

Result<chunk::SecretKey> master_key(BlockStore& store, const KeyMaterial& key,
                                    const DecodedConfig& decoded) {
    if (decoded.config.encryption != Encryption::none) {
        SP_ASSIGN(const Slots slots, load_slots(store, decoded.digest));
        return unwrap_any(slots, key, decoded);
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
    SP_ASSIGN(const DecodedConfig decoded, load_config(store));
    SP_ASSIGN(const chunk::SecretKey master, master_key(store, key, decoded));
    return std::make_shared<VaultCore>(store, decoded, master, clock, env::random_bytes);
}

Result<std::vector<std::string>> check_plain_objects(BlockStore& store) {
    std::vector<std::string> damage;
    SP_ASSIGN(const DecodedConfig decoded, load_config(store));
    if (decoded.damaged) damage.emplace_back("config: one of its two copies is damaged");
    SP_ASSIGN(const auto objects, store.list(names::keys));
    for (const ObjectInfo& object : objects) {
        SP_ASSIGN(const Bytes bytes, read_slot_object(store, object));
        const auto slot = decode_key_slot(bytes);
        if (!slot.slot) {
            damage.push_back(object.name + ": both copies are damaged");
        } else if (slot.damaged) {
            damage.push_back(object.name + ": one of its two copies is damaged");
        }
    }
    return damage;
}

}  // namespace stillpoint::vault
