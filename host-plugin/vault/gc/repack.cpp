#include "vault/gc/repack.hpp"

namespace stillpoint::vault::gc {
namespace {

Status copy_pack(StoredChunks& chunks, ChunkRun& run, const PackFacts& pack, const PackUse& use,
                 const env::CancelToken& cancel) {
    SP_ASSIGN(const auto directory, chunks.directory(pack.name));
    for (std::uint32_t slot = 0; slot < use.needed.size(); ++slot) {
        if (!use.needed[slot]) continue;
        SP_TRY(cancel.check());
        SP_ASSIGN(const Bytes payload, chunks.payload(pack.name, slot));
        SP_TRY(run.copy(*directory, slot, payload));
    }
    return {};
}

}  // namespace

Result<std::uint64_t> repack(StoredChunks& chunks, ChunkRun& run,
                             const std::vector<PackFacts>& packs, const Reach& reach,
                             const env::CancelToken& cancel) {
    const std::uint64_t before = run.stored_total_bytes();
    for (const PackFacts& pack : packs) {
        const auto use = reach.packs().find(pack.name);
        if (use == reach.packs().end()) continue;
        const Status copied = copy_pack(chunks, run, pack, use->second, cancel);
        if (!copied && copied.error().code == Errc::corrupt) {
            return fail(Errc::corrupt, "gc.damage", copied.error().text,
                        "nothing is deleted: see `stillpoint vault check --read-data`");
        }
        SP_TRY(copied);
    }
    SP_TRY(run.flush());
    return run.stored_total_bytes() - before;
}

}  // namespace stillpoint::vault::gc
