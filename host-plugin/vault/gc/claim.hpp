#pragma once
#include <memory>
#include <string>

#include "vault/chunk_run.hpp"

namespace stillpoint::vault::gc {

/// Claims the vault for who may merge, move and delete: a gc or a repair. Backups and restores go
/// on.
/// @param id from new_gc_id()
/// @return the run that is the claim; it ends with it
/// @errors busy, id "gc.running": another one is at work
[[nodiscard]] Result<std::unique_ptr<ChunkRun>> claim_alone(StoredChunks& chunks,
                                                            const std::string& id);

}  // namespace stillpoint::vault::gc
