#include "vault/gc/claim.hpp"

#include "vault/gc/live_runs.hpp"

namespace stillpoint::vault::gc {

Result<std::unique_ptr<ChunkRun>> claim_alone(StoredChunks& chunks, const std::string& id) {
    const VaultCore& core = chunks.core();
    SP_ASSIGN(auto run, ChunkRun::begin(chunks, id));
    // Listed after ours was put: of two that begin at once, at least one sees the other.
    SP_ASSIGN(const auto runs, list_runs(core));
    for (const RunState& other : runs) {
        if (other.id == id || !other.is_gc() || other.expired(core.clock.wall())) continue;
        return fail(
            Errc::busy, "gc.running",
            "another gc or repair works on " + core.store.describe() + " (run " + other.id + ")",
            "wait until it has ended; one that was killed counts for an hour at most");
    }
    return run;
}

}  // namespace stillpoint::vault::gc
