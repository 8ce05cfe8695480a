#pragma once
#include <string>
#include <vector>

#include "vault/pack_format.hpp"
#include "vault/vault_core.hpp"

namespace stillpoint::vault {

struct DamagedRecord {
    chunk::ChunkId id;
    std::uint32_t slot = 0;
    std::string text;
};

/// What one pack turned out to be. Nothing listed: every byte is as written.
struct PackVerdict {
    std::vector<std::string> pack_damage;  // missing, name does not match, directory unreadable
    std::vector<DamagedRecord> records;    // chunks whose seal is broken
    bool directory_readable = false;
    bool missing = false;  // there is no such object
    std::uint64_t bytes_read = 0;
    [[nodiscard]] bool whole() const { return pack_damage.empty() && records.empty(); }
};

/// Reads a whole pack once: SHA-256 against its name (needs no key), the directory, and the seal
/// of every record. Damage is a result, not an error.
/// @errors io and the like: the store failed, nothing is known about the pack
/// @threads any, concurrently
[[nodiscard]] Result<PackVerdict> verify_pack(const VaultCore& core, const PackName& name);

/// What anybody can prove: the pack's bytes are those of its name, and begin and end like a pack's.
/// Records and directory are not looked at. @errors as verify_pack @threads any, concurrently
[[nodiscard]] Result<PackVerdict> verify_pack_name(BlockStore& store, const PackName& name);

/// All packs in the store, sorted; objects under packs/ with other names are reported.
struct PackListing {
    std::vector<PackName> packs;
    std::vector<std::string> strangers;
    std::uint64_t bytes = 0;
};
[[nodiscard]] Result<PackListing> list_packs(BlockStore& store);

}  // namespace stillpoint::vault
