#pragma once
#include <array>

#include "vault/vault_core.hpp"

/// The 40 bytes that every sealed object starts with.
namespace stillpoint::vault {

using Salt = std::array<std::byte, 32>;

/// Appends magic, kind, object version and salt.
void write_object_header(Bytes& out, ObjectKind kind, const Salt& salt);
/// @return the salt
/// @errors corrupt, id "vault.object_damaged": not the header of such an object
[[nodiscard]] Result<Salt> read_object_header(ByteView bytes, ObjectKind kind);
[[nodiscard]] Salt random_salt(const RandomSource& random);

/// Vault id, kind and subject (an object's name, a chunk's id…): what a seal is bound to.
[[nodiscard]] Bytes associated_data(const VaultId& vault, ObjectKind kind, ByteView subject);

/// The `info` of HKDF for a kind.
[[nodiscard]] std::string key_purpose(ObjectKind kind);

}  // namespace stillpoint::vault
