#pragma once
#include <string>
#include <utility>
#include <vector>

#include "vault/config.hpp"
#include "vault/key_slot.hpp"

/// All key slots of one vault: which there are, and which one a key opens.
namespace stillpoint::vault {

struct KeySlots {
    std::vector<std::pair<std::string, KeySlot>> ours;  // object name; at most key_slots_max
    std::vector<std::string> unreadable;                // object names
    std::size_t foreign = 0;                            // left by an init that never finished
};

/// The objects under keys/ as they are: name and bytes.
using SlotObjects = std::vector<std::pair<std::string, Bytes>>;
/// Reads them side by side where the store says that this pays.
[[nodiscard]] Result<SlotObjects> read_key_slots(BlockStore& store);
/// @param config_digest of the vault's `config`, to which its slots are bound
[[nodiscard]] KeySlots sort_key_slots(const SlotObjects& objects,
                                      const chunk::Digest& config_digest);
/// Both. @param config_digest as above
[[nodiscard]] Result<KeySlots> load_key_slots(BlockStore& store,
                                              const chunk::Digest& config_digest);

struct OpenedSlot {
    std::string object;  // its name
    chunk::SecretKey master;
};

/// Tries the key on every slot of its kind. Costs one Argon2id for each with a passphrase.
/// @errors denied, id "vault.key_needed" or "vault.wrong_key" · corrupt, id "vault.key_damaged" or
///         "vault.config_damaged": what would have to open is damaged or missing
[[nodiscard]] Result<OpenedSlot> open_any_slot(const KeySlots& slots, const KeyMaterial& key,
                                               const DecodedConfig& decoded);

/// Wraps the master key into a new slot. @return the object's name
[[nodiscard]] Result<std::string> put_key_slot(BlockStore& store, const DecodedConfig& decoded,
                                               const chunk::SecretKey& master,
                                               const KeyMaterial& key, const RandomSource& random);

/// Damage in the objects that are stored twice (config, key slots), readable without a key: one
/// text for each damaged copy; reading still works while one copy of each is whole.
[[nodiscard]] Result<std::vector<std::string>> check_plain_objects(BlockStore& store);

}  // namespace stillpoint::vault
