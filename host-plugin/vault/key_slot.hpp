#pragma once
#include <optional>
#include <string>

#include "vault/object_header.hpp"
#include "vault/vault_core.hpp"

/// `keys/<slot>`: the master key, wrapped. docs/vault-format.md, section "Key slots".
namespace stillpoint::vault {

enum class KeyMethod : std::uint8_t { passphrase = 1, keyfile = 2 };

/// Work factors of Argon2id; stored with the slot, bounded when read.
struct ArgonCost {
    std::uint32_t passes = 3;
    std::uint32_t memory_kib = 64u << 10;  // freed at once; below the memory target of a backup
    friend bool operator==(const ArgonCost&, const ArgonCost&) = default;
};

struct KeySlot {
    KeyMethod method = KeyMethod::passphrase;
    ArgonCost cost;
    Salt salt{};  // for the wrapping key
    std::array<std::byte, 16> argon_salt{};
    chunk::Digest config_digest{};  // the vault it belongs to
    std::array<std::byte, chunk::SecretKey::bytes + chunk::seal_overhead_bytes> wrapped{};
    friend bool operator==(const KeySlot&, const KeySlot&) = default;
};

/// What a wrap is bound to besides the key.
struct SlotBinding {
    VaultId vault;
    chunk::Digest config_digest;
    std::string object;  // keys/<slot>
};

inline constexpr std::size_t key_slots_max = 16;

/// @return the object's bytes: the record twice, each with a plain SHA-256
[[nodiscard]] Bytes encode_key_slot(const KeySlot& slot);

struct DecodedKeySlot {
    std::optional<KeySlot> slot;  // nullopt: neither copy is as written
    bool damaged = false;         // at least one copy is not
};
[[nodiscard]] DecodedKeySlot decode_key_slot(ByteView bytes);

/// @errors invalid, id "vault.key_invalid": the material is not of this method's kind · io, id
///         "vault.argon2": no memory for Argon2id
[[nodiscard]] Result<KeySlot> wrap_master(const chunk::SecretKey& master, KeyMethod method,
                                          const KeyMaterial& key, const SlotBinding& binding,
                                          const RandomSource& random);
/// @errors denied, id "vault.wrong_key"
[[nodiscard]] Result<chunk::SecretKey> unwrap_master(const KeySlot& slot, const KeyMaterial& key,
                                                     const SlotBinding& binding);

}  // namespace stillpoint::vault
