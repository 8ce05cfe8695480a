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

/// Bytes of a pack: header, sealed chunks back to back, padding, directory, trailer, each sealed.
/// docs/vault-format.md, section "Packs".
namespace stillpoint::vault {

/// sha256_by_pieces of a pack's bytes; its object name is packs/<2 hex>/<64 hex>.
struct PackName {
    chunk::Digest value{};
    [[nodiscard]] static PackName of(ByteView pack);
    friend auto operator<=>(const PackName&, const PackName&) = default;
    [[nodiscard]] std::string hex() const;
    [[nodiscard]] std::string object() const;
    /// @errors corrupt, id "vault.pack_name": not the object name of a pack
    static Result<PackName> parse_object(const std::string& object);
};

inline constexpr std::uint32_t pack_records_max = 8192;     // keeps a directory below 600 KiB
inline constexpr std::uint32_t pack_bytes_min = 16u << 20;  // legal values of the parameter
inline constexpr std::uint32_t pack_bytes_max = 64u << 20;
inline constexpr std::size_t pack_trailer_bytes = 4 + chunk::seal_overhead_bytes + 4;
// Their nonces; slots are below.
inline constexpr std::uint64_t directory_record = 0xffffffff;
inline constexpr std::uint64_t padding_record = 0xfffffffe;
inline constexpr std::uint64_t trailer_record = 0xfffffffd;

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
    std::uint64_t padding_bytes = 0;  // sealed; it lies behind the last record
    Salt salt{};
    std::vector<DirectoryEntry> entries;            // by slot
    std::map<std::uint32_t, chunk::ChunkId> bases;  // by slot, codec delta only: what it builds on
    [[nodiscard]] std::optional<chunk::ChunkId> base_of(std::uint32_t slot) const {
        const auto found = bases.find(slot);
        if (found == bases.end()) return std::nullopt;
        return found->second;
    }
    /// Where the last record ends and the padding begins.
    [[nodiscard]] std::uint64_t records_end() const;
};

/// What a record's seal is bound to. @param base of a delta
[[nodiscard]] Bytes record_associated(const VaultId& vault, const DirectoryEntry& entry,
                                      const std::optional<chunk::ChunkId>& base = {});

/// Bytes that follow the records at least: of a directory of so many entries, some of them deltas,
/// the trailer, and padding of no length.
[[nodiscard]] std::size_t pack_end_bytes(std::size_t entries, std::size_t deltas = 0);
/// @param limit_bytes the padding takes the pack no further; at least what the pack takes anyway
/// @return sealed padding, directory and trailer, to append to the records
[[nodiscard]] Bytes seal_pack_end(const VaultId& vault, const chunk::SealKey& key,
                                  const PackDirectory& directory, std::uint64_t limit_bytes);
/// What the trailer shows without a key: that a pack ends here.
/// @param trailer pack_trailer_bytes · @errors corrupt, id "vault.pack_damaged"
[[nodiscard]] Status check_trailer_mark(ByteView trailer);
/// @return length of the sealed directory
/// @errors corrupt, id "vault.pack_damaged": no trailer, or one that cannot be true
[[nodiscard]] Result<std::uint32_t> open_trailer(const VaultId& vault, const chunk::SealKey& key,
                                                 ByteView trailer, std::uint64_t pack_bytes);
/// @errors corrupt, id "vault.pack_damaged"
[[nodiscard]] Result<PackDirectory> open_directory(const VaultId& vault, const chunk::SealKey& key,
                                                   ByteView sealed, std::uint64_t pack_bytes);
/// Trailer and directory of a whole pack in memory. @errors as open_trailer, open_directory
[[nodiscard]] Result<PackDirectory> directory_of(const VaultId& vault, const chunk::SealKey& key,
                                                 ByteView pack);
/// @param sealed the directory's padding_bytes from records_end()
/// @errors corrupt, id "vault.pack_damaged": not the zeros that were sealed there
[[nodiscard]] Status check_padding(const VaultId& vault, const chunk::SealKey& key,
                                   ByteView sealed);

}  // namespace stillpoint::vault
