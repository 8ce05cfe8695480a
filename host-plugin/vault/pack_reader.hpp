#pragma once
#include <list>
#include <map>
#include <memory>
#include <mutex>

#include "vault/pack_format.hpp"
#include "vault/read_ahead.hpp"

namespace stillpoint::vault {

/// What is probably asked for next: anything, or the records behind this one.
enum class Next { anything, neighbours };

/// Reads packs: their directories, through a bounded cache, and single records.
/// @threads any, concurrently
class PackReader {
public:
    explicit PackReader(const VaultCore& core)
        : core_(core), ahead_(ReadAhead::limits_for(core.store)) {}

    /// @errors corrupt, id "vault.pack_damaged": missing, cut, or the directory's seal is broken ·
    ///         io and the like
    Result<std::shared_ptr<const PackDirectory>> directory(const PackName& name);
    /// One record's plaintext, its seal checked; the id is not (a map node's id is not over these
    /// bytes).
    /// @param slot below the number of the directory's entries
    /// @errors corrupt, id "vault.chunk_damaged" or as directory() · unsupported, id "chunk.codec":
    /// also a delta, which
    ///         is nothing without its base
    Result<Bytes> record(const PackName& name, std::uint32_t slot, Next next = Next::anything);
    /// One record as it is stored, its seal opened, not decompressed: of a delta what it says about
    /// its base. @errors as record()
    Result<Bytes> payload(const PackName& name, std::uint32_t slot, Next next = Next::anything);
    /// Puts the directory of a pack just written where reading it would have put it.
    void remember(const PackName& name, PackDirectory directory);
    void forget_all();

private:
    struct Loaded {
        PackDirectory directory;
        chunk::SealKey key;
    };
    struct Slot {
        std::shared_ptr<const Loaded> loaded;
        std::list<PackName>::iterator age;
    };
    [[nodiscard]] Result<std::shared_ptr<const Loaded>> load(const PackName& name) const;
    Result<std::shared_ptr<const Loaded>> loaded(const PackName& name);
    std::shared_ptr<const Loaded> cached(const PackName& name);
    void keep(const PackName& name, const std::shared_ptr<const Loaded>& loaded);

    /// Opens what was read of one record. @param sealed its bytes
    [[nodiscard]] Result<Bytes> open(const PackName& name, const Loaded& pack, std::uint32_t slot,
                                     ByteView sealed) const;

    const VaultCore& core_;
    ReadAhead ahead_;
    std::mutex mutex_;
    std::map<PackName, Slot> slots_;
    std::list<PackName> newest_first_;
    std::size_t cached_bytes_ = 0;
};

}  // namespace stillpoint::vault
