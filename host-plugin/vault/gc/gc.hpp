#pragma once
#include "vault/stored_chunks.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault::gc {

/// Frees what no recovery point and no running backup can reach. Never blocks a writer; may be
/// killed at any moment. docs/gc.md has the argument.
/// @errors corrupt, id "gc.damage" or "vault.index_damaged": nothing was deleted · busy, id
///         "gc.running": another gc is at work · refused, id "vault.lease_lapsed" · cancelled · io
/// @threads one
[[nodiscard]] Result<GcResult> collect(std::shared_ptr<VaultCore> core, const GcOptions& options,
                                       const ProgressFn& progress, const env::CancelToken& cancel);

}  // namespace stillpoint::vault::gc
