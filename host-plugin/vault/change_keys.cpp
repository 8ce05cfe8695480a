#include <algorithm>

#include "base/hex.hpp"
#include "env/random.hpp"
#include "vault/key_slots.hpp"
#include "vault/object_names.hpp"

namespace stillpoint::vault {
namespace {

const std::string slot_prefix{names::keys};

std::string id_of(const std::string& object) {
    return object.substr(slot_prefix.size());
}

struct KeyRing {
    DecodedConfig decoded;
    KeySlots slots;
    OpenedSlot opened;
};

Result<KeyRing> open_ring(BlockStore& store, const KeyMaterial& key) {
    KeyRing ring;
    SP_ASSIGN(ring.decoded, load_config(store));
    if (ring.decoded.config.encryption == Encryption::none) {
        return fail(Errc::invalid, "vault.no_keys",
                    "the vault is not encrypted, so it has no keys to change",
                    "make an encrypted vault and back up into that");
    }
    SP_ASSIGN(ring.slots, load_key_slots(store, ring.decoded.digest));
    SP_ASSIGN(ring.opened, open_any_slot(ring.slots, key, ring.decoded));
    return ring;
}

// A slot is only worth something when it is in the store and opens: read back, not assumed.
Status prove_slot(BlockStore& store, const KeyMaterial& key, const DecodedConfig& decoded,
                  const std::string& object) {
    SP_ASSIGN(const KeySlots slots, load_key_slots(store, decoded.digest));
    KeySlots only;
    for (const auto& entry : slots.ours) {
        if (entry.first == object) only.ours.push_back(entry);
    }
    SP_TRY(open_any_slot(only, key, decoded));
    return {};
}

Result<std::string> add(BlockStore& store, const KeyRing& ring, const KeyMaterial& fresh) {
    if (ring.slots.ours.size() >= key_slots_max) {
        return fail(Errc::refused, "vault.keys_full",
                    "the vault has " + std::to_string(key_slots_max) + " keys, which is the most",
                    "remove one with `stillpoint vault key remove`");
    }
    // Twice the same key would open the vault still when one of the two was taken away.
    if (open_any_slot(ring.slots, fresh, ring.decoded)) {
        return fail(Errc::invalid, "vault.key_known", "the new key opens the vault already",
                    "choose another one");
    }
    SP_ASSIGN(std::string object,
              put_key_slot(store, ring.decoded, ring.opened.master, fresh, env::random_bytes));
    SP_TRY(prove_slot(store, fresh, ring.decoded, object));
    return object;
}

/// A slot that is about to be removed, told to all others before it is. Two removals at once can
/// each rely on the slot that the other takes: whoever tells it last sees the other's word, or that
/// the slot is gone already, so that one of them always gives way, whenever either is killed.
/// docs/vault-format.md, section "Removing a key slot"
class Removal {
public:
    Removal(BlockStore& store, const DecodedConfig& decoded, std::string slot)
        : store_(store),
          decoded_(decoded),
          slot_(std::move(slot)),
          words_(names::removals + id_of(slot_) + "."),
          word_(words_ + to_hex(env::random_bytes(4))) {}

    Status run(const KeyMaterial& stays) {
        SP_TRY(store_.put(word_, as_bytes(slot_)));
        const Status proven = prove_stays(stays);
        if (!proven) {
            (void)store_.remove(word_);  // left over it costs a removal, never a key
            return proven;
        }
        SP_TRY(store_.remove(slot_));
        take_back_words();
        return {};
    }

private:
    /// In this order: the word of a removal that has ended goes after its slot.
    Status prove_stays(const KeyMaterial& stays) {
        SP_ASSIGN(const auto words, store_.list(names::removals));
        SP_ASSIGN(KeySlots left, load_key_slots(store_, decoded_.digest));
        std::erase_if(left.ours, [&](const auto& entry) {
            const std::string others = names::removals + id_of(entry.first) + ".";
            return std::ranges::any_of(
                words, [&](const ObjectInfo& word) { return word.name.starts_with(others); });
        });
        const auto opened = open_any_slot(left, stays, decoded_);
        if (opened) return {};
        const Errc code = opened.error().code;
        if (code != Errc::denied && code != Errc::corrupt) return fail(opened.error());
        return fail(Errc::busy, "vault.key_race",
                    "key " + id_of(slot_) +
                        " stays: the one that opened the vault is being removed as well, or its "
                        "removal was interrupted",
                    "list the keys and try again; a removal that was interrupted ends when it is "
                    "repeated");
    }

    /// Of everybody who was about to remove this slot. It is gone: what fails here leaves words
    /// that are in nobody's way.
    void take_back_words() {
        const auto words = store_.list(words_);
        if (!words) return;
        for (const ObjectInfo& word : *words) (void)store_.remove(word.name);
    }

    BlockStore& store_;
    const DecodedConfig& decoded_;
    std::string slot_, words_, word_;
};

}  // namespace

Result<std::vector<KeyInfo>> list_keys(BlockStore& store, const KeyMaterial& key) {
    SP_ASSIGN(const KeyRing ring, open_ring(store, key));
    std::vector<KeyInfo> found;
    for (const auto& [object, slot] : ring.slots.ours) {
        found.push_back({.id = id_of(object),
                         .encryption = slot.method == KeyMethod::keyfile ? Encryption::keyfile
                                                                         : Encryption::passphrase,
                         .opened = object == ring.opened.object});
    }
    for (const std::string& object : ring.slots.unreadable) {
        found.push_back({.id = id_of(object), .damaged = true});
    }
    std::ranges::sort(found, {}, &KeyInfo::id);
    return found;
}

Result<std::string> add_key(BlockStore& store, const KeyMaterial& key, const KeyMaterial& fresh) {
    SP_ASSIGN(const KeyRing ring, open_ring(store, key));
    SP_ASSIGN(const std::string object, add(store, ring, fresh));
    return id_of(object);
}

Status remove_key(BlockStore& store, const KeyMaterial& key, const std::string& id) {
    SP_ASSIGN(const KeyRing ring, open_ring(store, key));
    const std::string object = slot_prefix + id;
    const bool readable = std::ranges::any_of(
        ring.slots.ours, [&](const auto& entry) { return entry.first == object; });
    if (!readable &&
        std::ranges::find(ring.slots.unreadable, object) == ring.slots.unreadable.end()) {
        return fail(Errc::not_found, "vault.no_such_key", "the vault has no key " + id,
                    "`stillpoint vault key list` has them");
    }
    if (object == ring.opened.object) {
        return fail(Errc::refused, "vault.key_in_use",
                    "key " + id + " is the one that opened the vault just now",
                    "open it with another key that stays, or use `stillpoint vault key rotate`");
    }
    return Removal{store, ring.decoded, object}.run(key);
}

Result<std::string> rotate_key(BlockStore& store, const KeyMaterial& key,
                               const KeyMaterial& fresh) {
    SP_ASSIGN(const KeyRing ring, open_ring(store, key));
    SP_ASSIGN(const std::string object, add(store, ring, fresh));
    SP_TRY((Removal{store, ring.decoded, ring.opened.object}.run(fresh)));
    SP_ASSIGN(const KeySlots left, load_key_slots(store, ring.decoded.digest));
    if (const auto still = open_any_slot(left, key, ring.decoded)) {
        return fail(
            Errc::busy, "vault.key_race",
            "the old key opens the vault still: it was added once more as " + id_of(still->object),
            "remove that with `stillpoint vault key remove`");
    }
    return id_of(object);
}

}  // namespace stillpoint::vault
