#include "route/audit.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "chunk/zero.hpp"

namespace stillpoint::route {
namespace {

/// The stretches of the view that hold the sampled blocks.
extents::ExtentSet where(const std::vector<SampledBlock>& blocks, ByteCount size, ByteCount chunk) {
    std::vector<Extent> extents;
    extents.reserve(blocks.size());
    for (const SampledBlock& sampled : blocks) {
        extents.push_back({ByteOffset{sampled.block.raw() * chunk.raw()}, chunk});
    }
    return extents::clip(extents::normalize(std::move(extents)), size);
}

class Examination {
public:
    Examination(const AuditTask& task, const std::vector<SampledBlock>& blocks)
        : task_(task), blocks_(blocks) {}

    /// Bytes of neighbouring sampled blocks. @threads any
    Status examine(ByteOffset at, ByteView bytes) {
        const std::uint64_t chunk = task_.vault.chunk_bytes();
        std::uint64_t block = at.raw() / chunk;
        for (bytes_ += bytes.size(); !bytes.empty(); ++block) {
            const std::size_t step = std::min<std::size_t>(bytes.size(), chunk);
            if (!is_unchanged(BlockIndex{block}, bytes.first(step))) {
                const std::scoped_lock lock{mutex_};
                changed_.push_back(BlockIndex{block});
            }
            bytes = bytes.subspan(step);
        }
        return {};
    }
    /// After the last read.
    Examined take() {
        std::sort(changed_.begin(), changed_.end());
        return {.changed = std::move(changed_), .bytes = bytes_.load()};
    }

private:
    [[nodiscard]] bool is_unchanged(BlockIndex block, ByteView bytes) const {
        const auto sampled = std::lower_bound(
            blocks_.begin(), blocks_.end(), block,
            [](const SampledBlock& item, BlockIndex value) { return item.block < value; });
        if (!sampled->id) return chunk::is_zero(bytes);
        return task_.vault.id_of(bytes) == *sampled->id;
    }

    const AuditTask& task_;
    const std::vector<SampledBlock>& blocks_;
    std::mutex mutex_;
    std::vector<BlockIndex> changed_;  // guarded by mutex_
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace

std::uint64_t audit_chunks(const AuditOptions& options, ByteCount read, ByteCount chunk) {
    if (options.chunks == 0) return 0;
    const std::uint64_t more = read.raw() / chunk.raw() / audit_read_share;
    const std::uint64_t most = std::max(options.chunks, audit_bytes_max / chunk.raw());
    return std::min(options.chunks + more, most);
}

Result<Examined> examine_blocks(const AuditTask& task, const std::vector<SampledBlock>& blocks,
                                const env::CancelToken& cancel) {
    Examination examination{task, blocks};
    SP_TRY(task.view.read(
        where(blocks, task.view.size(), ByteCount{task.vault.chunk_bytes()}), task.workers,
        [&](ByteOffset at, ByteView bytes) { return examination.examine(at, bytes); }, cancel));
    return examination.take();
}

Result<AuditResult> audit_clean_blocks(const AuditTask& task, const env::RandomFn& random,
                                       const env::CancelToken& cancel) {
    const ByteCount chunk{task.vault.chunk_bytes()};
    const CleanBlocks clean{task.dirty, task.view.size(), chunk};
    SP_ASSIGN(const Sample sample, draw_sample(task.parent, clean, task.chunks, random));
    AuditResult result{
        .clean = clean.count(), .chunks = sample.blocks.size(), .unreadable = sample.unreadable};
    result.data = static_cast<std::uint64_t>(
        std::count_if(sample.blocks.begin(), sample.blocks.end(),
                      [](const SampledBlock& sampled) { return sampled.id.has_value(); }));
    SP_ASSIGN(const Examined examined, examine_blocks(task, sample.blocks, cancel));
    result.changed = examined.changed.size();
    result.bytes = examined.bytes;
    return result;
}

double notice_probability(const AuditResult& audit, double share) {
    if (audit.chunks > 0 && audit.chunks == audit.clean) return 1.0;
    return 1.0 - std::pow(1.0 - share, static_cast<double>(audit.data));
}

}  // namespace stillpoint::route
