#pragma once
#include <set>

#include "vault/index_segment.hpp"

namespace stillpoint::vault::gc {

/// How long merged segments are: each covers a range of keys of its own, so that a lookup asks one
/// of them, however many there are.
struct MergeOptions {
    /// Wanted in one segment: 32 MiB in memory while it is made, and as much again to store it.
    std::uint64_t entries_wanted = 1u << 21;
    /// Each names nearly all packs once more, 48 bytes each: a fifth of the index at that number.
    std::uint64_t segments_max = 32;
    /// So many small segments are left alone: merging them costs more than asking them.
    std::size_t small_max = 8;
};

/// Writes the index anew without what it says of `dropped` packs. The new segments are durable
/// before the old ones go (I1); segments that others write meanwhile are not touched. Nothing is
/// written when the index names none of them and there are no more segments than there would be.
/// Memory, in a vault of full packs: 64 MiB, above 4 TiB 17 MiB a TiB, and 8 MiB a TiB for packs.
/// @errors corrupt, id "vault.index_damaged": a segment cannot be read; nothing was changed · io
[[nodiscard]] Status rewrite_index(const VaultCore& core, const std::set<PackName>& dropped,
                                   const MergeOptions& options = {});

/// Merges the small segments that backups leave, when there are many, and all when even those that
/// are not small are many. @errors as rewrite_index()
[[nodiscard]] Status tidy_index(const VaultCore& core, const MergeOptions& options = {});

}  // namespace stillpoint::vault::gc
