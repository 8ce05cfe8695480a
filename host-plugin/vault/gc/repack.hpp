#pragma once
#include <vector>

#include "vault/chunk_run.hpp"
#include "vault/gc/plan.hpp"

namespace stillpoint::vault::gc {

/// Copies the records that points need of these packs into new packs, still compressed; durable and
/// indexed when it returns. The packs themselves stay.
/// @return bytes that were written
/// @errors corrupt, id "gc.damage": a record cannot be read; nothing may be deleted · cancelled ·
/// io
[[nodiscard]] Result<std::uint64_t> repack(StoredChunks& chunks, ChunkRun& run,
                                           const std::vector<PackFacts>& packs, const Reach& reach,
                                           const env::CancelToken& cancel);

}  // namespace stillpoint::vault::gc
