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

/// What holds a pack while it is looked at. Whoever looks at many packs passes one to all calls, so
/// that each is read into memory that is there already. @threads one
struct PackMemory {
    PackMemory() = default;
    /// @param bytes of the largest pack to come, so that no later one needs more
    explicit PackMemory(std::size_t bytes) { pack.reserve(bytes); }
    Bytes pack, plaintext;
};

/// Reads a whole pack once: SHA-256 against its name (needs no key), the directory, and the seal
/// of every record. Damage is a result, not an error.
/// @errors io and the like: the store failed, nothing is known about the pack
/// @threads any, concurrently, each with memory of its own
[[nodiscard]] Result<PackVerdict> verify_pack(const VaultCore& core, const PackName& name,
                                              PackMemory& memory);
[[nodiscard]] Result<PackVerdict> verify_pack(const VaultCore& core, const PackName& name);

/// What anybody can prove: the pack's bytes are those of its name, and begin and end like a pack's.
/// Records and directory are not looked at. @errors, @threads as verify_pack
[[nodiscard]] Result<PackVerdict> verify_pack_name(BlockStore& store, const PackName& name,
                                                   PackMemory& memory);

/// All packs in the store, sorted; objects under packs/ with other names are reported.
struct PackListing {
    std::vector<PackName> packs;
    std::vector<std::string> strangers;
    std::uint64_t bytes = 0, largest_bytes = 0;
};
[[nodiscard]] Result<PackListing> list_packs(BlockStore& store);

}  // namespace stillpoint::vault
