#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "chunk/chunk_id.hpp"
#include "chunk/compress.hpp"
#include "chunk/hash.hpp"
#include "vault/chunk_store.hpp"
#include "vault/object_header.hpp"
#include "vault/vault_core.hpp"

/// Bytes of a pack: header, sealed chunks back to back, sealed directory, trailer.
/// docs/vault-format.md, section "Packs".
namespace stillpoint::vault {

/// SHA-256 of a pack's bytes; its object name is packs/<2 hex>/<64 hex>.
struct PackName {
    chunk::Digest value{};
    friend auto operator<=>(const PackName&, const PackName&) = default;
    [[nodiscard]] std::string hex() const;
    [[nodiscard]] std::string object() const;
    /// @errors corrupt, id "vault.pack_name": not the object name of a pack
    static Result<PackName> parse_object(const std::string& object);
};

inline constexpr std::uint32_t pack_records_max = 8192;     // keeps a directory below 600 KiB
inline constexpr std::uint32_t pack_bytes_min = 16u << 20;  // legal values of the parameter
inline constexpr std::uint32_t pack_bytes_max = 64u << 20;
inline constexpr std::size_t pack_trailer_bytes = 8;
inline constexpr std::uint64_t directory_record = 0xffffffff;  // its nonce; slots are below

/// One record as the pack's sealed directory lists it.
struct DirectoryEntry {
    chunk::ChunkId id;
    chunk::Codec codec = chunk::Codec::raw;
    std::uint32_t plain_bytes = 0;
    std::uint32_t stored_bytes = 0;  // sealed
    std::uint64_t offset = 0;        // from the start of the pack; the sum of those before
    friend bool operator==(const DirectoryEntry&, const DirectoryEntry&) = default;
};

struct PackDirectory {
    Content content = Content::data;
    std::uint64_t pack_bytes = 0;
    Salt salt{};
    std::vector<DirectoryEntry> entries;            // by slot
    std::map<std::uint32_t, chunk::ChunkId> bases;  // by slot, codec delta only: what it builds on
    [[nodiscard]] std::optional<chunk::ChunkId> base_of(std::uint32_t slot) const {
        const auto found = bases.find(slot);
        if (found == bases.end()) return std::nullopt;
        return found->second;
    }
};

/// What a record's seal is bound to. @param base of a delta
[[nodiscard]] Bytes record_associated(const VaultId& vault, const DirectoryEntry& entry,
                                      const std::optional<chunk::ChunkId>& base = {});

/// Bytes that a directory of so many entries, some of them deltas, and the trailer take.
[[nodiscard]] std::size_t directory_bytes(std::size_t entries, std::size_t deltas = 0);
/// @return sealed directory and trailer, to append to the records
[[nodiscard]] Bytes seal_directory(const VaultId& vault, const chunk::SealKey& key,
                                   const PackDirectory& directory);
/// @return length of the sealed directory
/// @errors corrupt, id "vault.pack_damaged": no trailer, or one that cannot be true
[[nodiscard]] Result<std::uint32_t> read_trailer(ByteView trailer, std::uint64_t pack_bytes);
/// @errors corrupt, id "vault.pack_damaged"
[[nodiscard]] Result<PackDirectory> open_directory(const VaultId& vault, const chunk::SealKey& key,
                                                   ByteView sealed, std::uint64_t pack_bytes);

}  // namespace stillpoint::vault
