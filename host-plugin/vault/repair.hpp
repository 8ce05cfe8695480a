#pragma once
#include <memory>

#include "vault/vault.hpp"
#include "vault/vault_core.hpp"

namespace stillpoint::vault {

/// Makes the index name every pack that is there, brings lost and damaged recovery points back from
/// their copies, and makes copies that are missing. Writes before it removes, so that it may be
/// killed at any moment and run again. Backups and restores may go on.
/// @errors busy, id "gc.running": a gc or another repair is at work · cancelled · io
/// @threads one
[[nodiscard]] Result<RepairResult> repair_vault(std::shared_ptr<VaultCore> core,
                                                const RepairOptions& options,
                                                const ProgressFn& progress,
                                                const env::CancelToken& cancel);

}  // namespace stillpoint::vault
