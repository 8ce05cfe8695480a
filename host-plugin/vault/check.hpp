#pragma once
#include "vault/stored_chunks.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

struct CheckOptions {
    CheckDepth depth = CheckDepth::structure;
    ProgressFn progress;
    env::CancelToken cancel;
    std::size_t damage_max = 100'000;  // more findings than that are only counted
};

/// Looks at everything that a vault holds: configuration, key slots, index, packs, and for every
/// point its maps (shared nodes once) and whether each chunk is where the index says, of the right
/// length. read_data also reads every pack once: its name, and every record's seal.
/// Damage is a result; it names point, disk and range wherever it can be reached from one.
/// @errors cancelled · io and the like: nothing is known about what could not be read
[[nodiscard]] Result<CheckResult> check_vault(StoredChunks& chunks, const CheckOptions& options);

}  // namespace stillpoint::vault
