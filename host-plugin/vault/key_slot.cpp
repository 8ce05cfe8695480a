#include "vault/key_slot.hpp"

#include <sodium.h>

#include <algorithm>

#include "base/check.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::size_t slot_copy_bytes = 256;
constexpr std::size_t checked_bytes = slot_copy_bytes - std::tuple_size_v<chunk::Digest>;
// What a hostile store can make us spend before the wrap turns out to be false.
constexpr std::uint32_t argon_passes_max = 16;
constexpr std::uint32_t argon_memory_kib_max = 1u << 20;
constexpr std::uint32_t argon_memory_kib_min = 8;  // libsodium's own floor

Bytes encode_copy(const KeySlot& slot) {
    Bytes out;
    write_object_header(out, ObjectKind::key, slot.salt);
    ByteWriter writer{out};
    writer.u8(static_cast<std::uint8_t>(slot.method)).u8(0).u16(0);
    writer.u32(slot.cost.passes).u32(slot.cost.memory_kib);
    writer.raw(slot.argon_salt).raw(slot.config_digest).raw(slot.wrapped);
    SP_CHECK(out.size() <= checked_bytes);
    out.resize(checked_bytes);
    writer.raw(chunk::sha256(out));
    return out;
}

template <std::size_t N>
Status read_array(ByteReader& reader, std::array<std::byte, N>& into) {
    SP_ASSIGN(const ByteView view, reader.take(N));
    std::copy(view.begin(), view.end(), into.begin());
    return {};
}

Result<KeySlot> parse_copy(ByteView bytes) {
    KeySlot slot;
    SP_ASSIGN(slot.salt, read_object_header(bytes, ObjectKind::key));
    ByteReader reader{bytes.subspan(object_header_bytes)};
    SP_ASSIGN(const std::uint32_t method, reader.u32());
    SP_ASSIGN(slot.cost.passes, reader.u32());
    SP_ASSIGN(slot.cost.memory_kib, reader.u32());
    slot.method = static_cast<KeyMethod>(method);
    SP_TRY(read_array(reader, slot.argon_salt));
    SP_TRY(read_array(reader, slot.config_digest));
    SP_TRY(read_array(reader, slot.wrapped));
    return slot;
}

bool legal(const KeySlot& slot) {
    return (slot.method == KeyMethod::passphrase || slot.method == KeyMethod::keyfile) &&
           slot.cost.passes >= 1 && slot.cost.passes <= argon_passes_max &&
           slot.cost.memory_kib >= argon_memory_kib_min &&
           slot.cost.memory_kib <= argon_memory_kib_max;
}

std::optional<KeySlot> decode_copy(ByteView bytes) {
    if (bytes.size() != slot_copy_bytes) return std::nullopt;
    const chunk::Digest digest = chunk::sha256(bytes.first(checked_bytes));
    if (!std::equal(digest.begin(), digest.end(), bytes.begin() + checked_bytes)) {
        return std::nullopt;
    }
    const auto slot = parse_copy(bytes);
    // Encoding it again proves that the reserved bytes are zero.
    if (!slot || !legal(*slot) || !std::ranges::equal(encode_copy(*slot), bytes)) {
        return std::nullopt;
    }
    return *slot;
}

Result<chunk::SecretKey> stretch(const std::string& passphrase, const KeySlot& slot) {
    if (passphrase.empty()) {
        return fail(Errc::invalid, "vault.key_invalid", "the passphrase is empty");
    }
    SP_CHECK(sodium_init() >= 0);
    chunk::SecretKey out;
    static_assert(std::tuple_size_v<decltype(slot.argon_salt)> == crypto_pwhash_SALTBYTES);
    if (crypto_pwhash(reinterpret_cast<unsigned char*>(out.writable().data()),
                      chunk::SecretKey::bytes, passphrase.data(), passphrase.size(),
                      reinterpret_cast<const unsigned char*>(slot.argon_salt.data()),
                      slot.cost.passes, std::size_t{slot.cost.memory_kib} << 10,
                      crypto_pwhash_ALG_ARGON2ID13) != 0) {
        return fail(Errc::io, "vault.argon2",
                    "Argon2id could not get " + std::to_string(slot.cost.memory_kib >> 10) +
                        " MiB of memory");
    }
    return out;
}

Result<chunk::SealKey> wrapping_key(const KeySlot& slot, const KeyMaterial& key) {
    chunk::SecretKey secret;
    if (slot.method == KeyMethod::passphrase) {
        SP_ASSIGN(secret, stretch(key.passphrase, slot));
    } else {
        SP_ASSIGN(secret, chunk::SecretKey::from(key.raw_key));
    }
    return chunk::SealKey{
        chunk::hkdf_sha256(secret.view(), slot.salt, as_bytes(key_purpose(ObjectKind::key)))};
}

Bytes wrap_associated(const SlotBinding& binding) {
    Bytes subject = to_bytes(binding.config_digest);
    ByteWriter{subject}.raw(as_bytes(binding.object));
    return associated_data(binding.vault, ObjectKind::key, subject);
}

}  // namespace

Bytes encode_key_slot(const KeySlot& slot) {
    SP_CHECK(legal(slot));
    Bytes out = encode_copy(slot);
    const Bytes copy = out;
    out.insert(out.end(), copy.begin(), copy.end());
    return out;
}

DecodedKeySlot decode_key_slot(ByteView bytes) {
    const ByteView head = bytes.first(std::min(bytes.size(), slot_copy_bytes));
    const auto first = decode_copy(head);
    const auto second = decode_copy(bytes.subspan(head.size()));
    return {first ? first : second, !first || !second || *first != *second};
}

Result<KeySlot> wrap_master(const chunk::SecretKey& master, KeyMethod method,
                            const KeyMaterial& key, const SlotBinding& binding,
                            const RandomSource& random) {
    KeySlot slot;
    slot.method = method;
    slot.salt = random_salt(random);
    const Bytes argon_salt = random(slot.argon_salt.size());
    std::copy(argon_salt.begin(), argon_salt.end(), slot.argon_salt.begin());
    slot.config_digest = binding.config_digest;
    SP_ASSIGN(const chunk::SealKey wrap, wrapping_key(slot, key));
    wrap.seal(0, wrap_associated(binding), master.view(), slot.wrapped);
    return slot;
}

Result<chunk::SecretKey> unwrap_master(const KeySlot& slot, const KeyMaterial& key,
                                       const SlotBinding& binding) {
    SP_ASSIGN(const chunk::SealKey wrap, wrapping_key(slot, key));
    chunk::SecretKey master;
    if (!wrap.open(0, wrap_associated(binding), slot.wrapped, master.writable())) {
        return fail(Errc::denied, "vault.wrong_key",
                    slot.method == KeyMethod::passphrase ? "the passphrase is not this vault's"
                                                         : "the key file is not this vault's");
    }
    return master;
}

}  // namespace stillpoint::vault
