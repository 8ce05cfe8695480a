#include "route/namesakes.hpp"

namespace stillpoint::route {
namespace {

using serialization::DiskMode;

/// The first clean block in which two disks of a point differ, and the other's content there.
Result<std::optional<SampledBlock>> telling_block(const AuditTask& task, const CleanBlocks& clean,
                                                  const vault::DiskRoot& own,
                                                  const vault::DiskRoot& other,
                                                  const env::CancelToken& cancel) {
    std::optional<BlockIndex> found;
    const Status compared =
        task.vault.diff(other, own, [&](BlockIndex block, vault::BlockChange) -> Status {
            SP_TRY(cancel.check());
            if (!clean.contains(block)) return {};
            found = block;
            return fail(Errc::cancelled, "job.cancelled", "one block is enough");
        });
    if (!found && !compared) return fail(compared.error());
    if (!found) return std::optional<SampledBlock>{};
    SP_ASSIGN(const auto reader, task.vault.open_disk(other));
    SP_ASSIGN(const auto id, reader->id_at(*found));
    return SampledBlock{*found, id};
}

/// Zeros are weaker evidence: a disk that was cut and grown again shows them as well.
std::string reason_of(const SampledBlock& block, const std::string& other) {
    if (block.id) {
        return "the disk was replaced: under its path lies what disk " + other +
               " held at the last point";
    }
    return "the disk was replaced, or cut and grown again: blocks that nobody marked "
           "as changed are zeros now, as those of disk " +
           other + " were at the last point";
}

}  // namespace

Result<std::optional<Unmasked>> unmask(const AuditTask& task, const vault::DiskRoot& own,
                                       const std::vector<vault::DiskRoot>& namesakes,
                                       const env::CancelToken& cancel) {
    const CleanBlocks clean{task.dirty, task.view.size(), ByteCount{task.vault.chunk_bytes()}};
    for (const vault::DiskRoot& other : namesakes) {
        if (other.root == own.root) continue;
        const auto block = telling_block(task, clean, own, other, cancel);
        if (!block && block.error().code == Errc::corrupt) {
            return Unmasked{DiskMode::full,
                            "whether the image is still this disk's and not that of disk " +
                                other.disk +
                                " cannot be told: a block map of the last point is damaged"};
        }
        if (!block) return fail(block.error());
        if (!*block) continue;
        SP_ASSIGN(const Examined examined, examine_blocks(task, {**block}, cancel));
        // What is neither this disk's nor the other's is for the audit to find.
        if (!examined.changed.empty()) continue;
        return Unmasked{DiskMode::compare, reason_of(**block, other.disk)};
    }
    return std::optional<Unmasked>{};
}

}  // namespace stillpoint::route
