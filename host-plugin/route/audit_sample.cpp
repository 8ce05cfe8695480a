#include "route/audit_sample.hpp"

#include <algorithm>
#include <map>

namespace stillpoint::route {
namespace {

// Draws per wanted block before giving up: data thinner than that in its regions is left unaudited.
constexpr std::uint64_t draws_per_block_max = 32;
// Regions to draw data from; each costs one look at the map per refinement.
constexpr std::size_t regions_max = 1024;
constexpr std::uint64_t region_split = 64;  // the map's fan-out: a region is a node of its tree
// So many draws tell whether the regions hold enough data for drawing to be worth it.
constexpr std::uint64_t probe_draws = 32;
constexpr std::uint64_t probe_hits_min = 2;

/// Draws evenly from all blocks that hold data: a block is drawn from regions of one size that
/// cover all data, and only one that holds data counts. Where hits are rare the regions are split
/// and empty ones left out, as long as there are few.
class DataDraw {
public:
    DataDraw(vault::DiskReader& parent, const env::RandomFn& random)
        : parent_(parent), random_(random), span_(region_split) {
        const std::uint64_t chunk = parent.chunk_bytes();
        blocks_ = (parent.size().raw() + chunk - 1) / chunk;
        while (span_ < blocks_) span_ *= region_split;
        if (blocks_ > 0) regions_ = {0};
    }

    /// One block of a region, which may hold data or not; nullopt: there is no data at all.
    Result<std::optional<BlockIndex>> draw() {
        if (++draws_ > probe_draws) {
            if (hits_ < probe_hits_min) SP_TRY(refine());
            draws_ = hits_ = 0;
        }
        if (regions_.empty()) return std::nullopt;
        const std::uint64_t region = regions_[env::random_below(random_, regions_.size())];
        return BlockIndex{region + env::random_below(random_, span_)};
    }
    void hit() { ++hits_; }

private:
    /// Splits until at least half of what was covered is left out, or as far as it goes.
    Status refine() {
        while (span_ > 1 && !split_failed_) {
            SP_ASSIGN(auto finer, split());
            split_failed_ = !finer.has_value();
            if (split_failed_) return {};
            const bool denser = finer->size() <= regions_.size() * region_split / 2;
            regions_ = std::move(*finer);
            span_ /= region_split;
            if (denser) return {};
        }
        return {};
    }

    /// The regions of the next smaller size that hold data; nullopt: too many, or a damaged map.
    Result<std::optional<std::vector<std::uint64_t>>> split() {
        const std::uint64_t step = span_ / region_split;
        std::vector<std::uint64_t> finer;
        for (const std::uint64_t region : regions_) {
            for (std::uint64_t at = region; at < region + span_;) {
                const auto data = parent_.next_data(BlockIndex{at});
                if (!data && data.error().code == Errc::corrupt) return std::nullopt;
                if (!data) return fail(data.error());
                if (!*data || (*data)->raw() >= region + span_) break;
                if (finer.size() == regions_max) return std::nullopt;
                finer.push_back((*data)->raw() / step * step);
                at = finer.back() + step;
            }
        }
        return finer;
    }

    vault::DiskReader& parent_;
    const env::RandomFn& random_;
    std::uint64_t blocks_ = 0;
    std::uint64_t span_;                  // blocks of a region
    std::vector<std::uint64_t> regions_;  // first blocks; together they hold all data
    bool split_failed_ = false;
    std::uint64_t draws_ = 0, hits_ = 0;  // since the last look at them
};

class Sampler {
public:
    Sampler(vault::DiskReader& parent, const CleanBlocks& clean, const env::RandomFn& random)
        : parent_(parent), clean_(clean), random_(random) {}

    Result<Sample> run(std::uint64_t wanted) {
        if (clean_.count() <= wanted) {
            SP_TRY(take_all());
        } else {
            constexpr std::uint64_t even_share = 4;
            SP_TRY(draw_evenly(wanted / even_share));
            SP_TRY(draw_data(wanted));
            SP_TRY(draw_evenly(wanted));
        }
        Sample sample{.blocks = {}, .unreadable = unreadable_};
        for (const auto& [block, id] : drawn_) sample.blocks.push_back({block, id});
        return sample;
    }

private:
    enum class Want { any, data };

    /// @return whether the block is one of those wanted and now in the sample
    Result<bool> take(BlockIndex block, Want want) {
        const auto known = drawn_.find(block);
        if (known != drawn_.end()) return want == Want::any || known->second.has_value();
        if (!clean_.contains(block)) return false;
        auto id = parent_.id_at(block);
        if (!id && id.error().code == Errc::corrupt) {
            ++unreadable_;
            return false;
        }
        if (!id) return fail(id.error());
        if (want == Want::data && !*id) return false;
        drawn_.emplace(block, *id);
        return true;
    }

    Status take_all() {
        for (std::uint64_t n = 0; n < clean_.count(); ++n) {
            SP_TRY(take(clean_.at(n), Want::any));
        }
        return {};
    }

    Status draw_evenly(std::uint64_t until) {
        for (std::uint64_t draws = 0; drawn_.size() < until && draws < 4 * until; ++draws) {
            SP_TRY(take(clean_.at(env::random_below(random_, clean_.count())), Want::any));
        }
        return {};
    }

    Status draw_data(std::uint64_t until) {
        DataDraw source{parent_, random_};
        const std::uint64_t draws_max = draws_per_block_max * until;
        for (std::uint64_t draws = 0; drawn_.size() < until && draws < draws_max; ++draws) {
            SP_ASSIGN(const auto block, source.draw());
            if (!block) return {};
            SP_ASSIGN(const bool taken, take(*block, Want::data));
            if (taken) source.hit();
        }
        return {};
    }

    vault::DiskReader& parent_;
    const CleanBlocks& clean_;
    const env::RandomFn& random_;
    std::map<BlockIndex, std::optional<chunk::ChunkId>> drawn_;
    std::uint64_t unreadable_ = 0;
};

}  // namespace

CleanBlocks::CleanBlocks(const extents::ExtentSet& dirty, ByteCount size, ByteCount chunk) {
    for (const Extent& extent : extents::subtract(extents::whole(size), dirty)) {
        const std::uint64_t end = extent.at.raw() + extent.length.raw();
        const std::uint64_t first = extent.at.raw() / chunk.raw();
        const std::uint64_t count = (end + chunk.raw() - 1) / chunk.raw() - first;
        stretches_.push_back({first, count, count_});
        count_ += count;
    }
}

BlockIndex CleanBlocks::at(std::uint64_t number) const {
    const auto next = std::upper_bound(
        stretches_.begin(), stretches_.end(), number,
        [](std::uint64_t value, const Stretch& stretch) { return value < stretch.before; });
    const Stretch& stretch = *std::prev(next);
    return BlockIndex{stretch.first + (number - stretch.before)};
}

bool CleanBlocks::contains(BlockIndex block) const {
    const auto next = std::upper_bound(
        stretches_.begin(), stretches_.end(), block.raw(),
        [](std::uint64_t value, const Stretch& stretch) { return value < stretch.first; });
    if (next == stretches_.begin()) return false;
    const Stretch& stretch = *std::prev(next);
    return block.raw() - stretch.first < stretch.count;
}

Result<Sample> draw_sample(vault::DiskReader& parent, const CleanBlocks& clean,
                           std::uint64_t wanted, const env::RandomFn& random) {
    return Sampler{parent, clean, random}.run(wanted);
}

}  // namespace stillpoint::route
