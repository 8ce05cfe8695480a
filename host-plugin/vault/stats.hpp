#pragma once
#include "vault/node_loader.hpp"
#include "vault/stored_chunks.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// Counts what a vault holds: reads the packs' directories, and maps only where the request says
/// so.
/// @param chunks with its index fresh
/// @errors as Vault::stats()
[[nodiscard]] Result<Stats> measure_vault(StoredChunks& chunks, NodeLoader& nodes,
                                          const std::vector<Point>& points,
                                          const StatsRequest& request,
                                          const env::CancelToken& cancel);

}  // namespace stillpoint::vault
