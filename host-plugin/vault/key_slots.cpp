#include "vault/key_slots.hpp"

#include <algorithm>
#include <atomic>

#include "base/hex.hpp"
#include "env/workers.hpp"
#include "vault/object_names.hpp"

namespace stillpoint::vault {
namespace {

Result<Bytes> read_slot_object(BlockStore& store, const ObjectInfo& object) {
    constexpr std::uint64_t slot_bytes_max = 4096;
    const ByteCount length{std::min(object.size.raw(), slot_bytes_max)};
    return store.get(object.name, ByteOffset{0}, length);
}

tl::unexpected<Error> no_slot(const KeySlots& slots) {
    if (slots.foreign > 0 && slots.unreadable.empty()) {
        return fail(Errc::corrupt, "vault.config_damaged",
                    "the vault's config was replaced: no key slot belongs to it",
                    "put the object 'config' back from another copy of the vault");
    }
    return fail(Errc::corrupt, "vault.key_damaged",
                slots.unreadable.empty() ? "the vault's key slots are missing"
                                         : "the vault's key slots are damaged",
                "put the objects under keys/ back from another copy of the vault");
}

bool fits(const KeySlot& slot, const KeyMaterial& key) {
    return slot.method == KeyMethod::passphrase ? !key.passphrase.empty()
                                                : key.raw_key.size() == chunk::SecretKey::bytes;
}

}  // namespace

Result<SlotObjects> read_key_slots(BlockStore& store) {
    SP_ASSIGN(const auto listed, store.list(names::keys));
    SlotObjects objects(listed.size());
    std::atomic<std::size_t> next = 0;
    const auto work = [&]() -> Status {
        for (std::size_t at = next++; at < listed.size(); at = next++) {
            SP_ASSIGN(Bytes bytes, read_slot_object(store, listed[at]));
            objects[at] = {listed[at].name, std::move(bytes)};
        }
        return {};
    };
    const auto threads = std::clamp<std::size_t>(listed.size(), 1, store.calls_at_once());
    SP_TRY(env::run_workers(static_cast<unsigned>(threads), work, [&] { next = listed.size(); }));
    return objects;
}

KeySlots sort_key_slots(const SlotObjects& objects, const chunk::Digest& config_digest) {
    KeySlots slots;
    for (const auto& [name, bytes] : objects) {
        const auto decoded = decode_key_slot(bytes);
        if (!decoded.slot) {
            slots.unreadable.push_back(name);
        } else if (decoded.slot->config_digest != config_digest) {
            ++slots.foreign;
        } else if (slots.ours.size() < key_slots_max) {
            slots.ours.emplace_back(name, *decoded.slot);
        }
    }
    return slots;
}

Result<KeySlots> load_key_slots(BlockStore& store, const chunk::Digest& config_digest) {
    SP_ASSIGN(const SlotObjects objects, read_key_slots(store));
    return sort_key_slots(objects, config_digest);
}

Result<OpenedSlot> open_any_slot(const KeySlots& slots, const KeyMaterial& key,
                                 const DecodedConfig& decoded) {
    std::size_t tried = 0;
    for (const auto& [name, slot] : slots.ours) {
        if (!fits(slot, key)) continue;
        ++tried;
        auto master = unwrap_master(slot, key, {decoded.config.id, decoded.digest, name});
        if (master) return OpenedSlot{name, *master};
        if (master.error().code != Errc::denied) return fail(master.error());
    }
    // A slot that cannot be read may be the one this key opens: damage is the honest answer.
    if (slots.ours.empty() || !slots.unreadable.empty()) return no_slot(slots);
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

Result<std::string> put_key_slot(BlockStore& store, const DecodedConfig& decoded,
                                 const chunk::SecretKey& master, const KeyMaterial& key,
                                 const RandomSource& random) {
    const auto method = decoded.config.encryption == Encryption::keyfile ? KeyMethod::keyfile
                                                                         : KeyMethod::passphrase;
    const std::string name = names::keys + to_hex(random(4));
    SP_ASSIGN(const KeySlot slot,
              wrap_master(master, method, key, {decoded.config.id, decoded.digest, name}, random));
    SP_TRY(store.put(name, encode_key_slot(slot)));
    return name;
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
