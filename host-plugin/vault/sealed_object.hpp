#pragma once
#include <string>

#include "vault/vault_core.hpp"

/// Small objects sealed as one record (points, runs, marks): header, then the sealed plaintext.
/// Associated data: vault id, kind, object name. docs/vault-format.md, section "Sealed objects".
namespace stillpoint::vault {

inline constexpr std::size_t object_header_bytes = 40;
inline constexpr std::size_t sealed_object_bytes_max = 64u << 20;  // a point with its documents

/// What so many bytes take as an object.
[[nodiscard]] constexpr std::uint64_t object_bytes_of(std::size_t plaintext_bytes) {
    return object_header_bytes + plaintext_bytes + chunk::seal_overhead_bytes;
}

/// @return bytes to put under exactly this name; each call takes a new key
[[nodiscard]] Bytes seal_object(const VaultCore& core, ObjectKind kind, const std::string& name,
                                ByteView plaintext);
/// @errors corrupt, id "vault.object_damaged": not what was sealed for this vault, kind and name
[[nodiscard]] Result<Bytes> open_object(const VaultCore& core, ObjectKind kind,
                                        const std::string& name, ByteView sealed);
/// seal_object and put. @return bytes stored · @errors as BlockStore::put
[[nodiscard]] Result<std::uint64_t> put_object(const VaultCore& core, ObjectKind kind,
                                               const std::string& name, ByteView plaintext);
/// get and open_object; once more where it is damaged, which it may have become on its way: a point
/// that seems damaged costs a backup its parent. @errors not_found · corrupt · io
[[nodiscard]] Result<Bytes> get_object(const VaultCore& core, ObjectKind kind,
                                       const std::string& name);

}  // namespace stillpoint::vault
