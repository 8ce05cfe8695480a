#pragma once
#include <optional>
#include <vector>

#include "env/random.hpp"
#include "extents/extent_set.hpp"
#include "vault/vault.hpp"

/// Which blocks an audit looks at (ADR-0013). The cost depends on the sample's size, not the
/// disk's.
namespace stillpoint::route {

/// The blocks that change tracking calls clean, numbered without gaps.
class CleanBlocks {
public:
    /// @param dirty chunk-aligned, within [0, size)
    CleanBlocks(const extents::ExtentSet& dirty, ByteCount size, ByteCount chunk);
    [[nodiscard]] std::uint64_t count() const { return count_; }
    /// @param number below count()
    [[nodiscard]] BlockIndex at(std::uint64_t number) const;
    [[nodiscard]] bool contains(BlockIndex block) const;

private:
    struct Stretch {
        std::uint64_t first = 0;   // block
        std::uint64_t count = 0;   // blocks
        std::uint64_t before = 0;  // clean blocks before it
    };
    std::vector<Stretch> stretches_;
    std::uint64_t count_ = 0;
};

struct SampledBlock {
    BlockIndex block;
    std::optional<chunk::ChunkId> id;  // what the parent's map says; nullopt: zeros
};

struct Sample {
    std::vector<SampledBlock> blocks;  // ascending, each once
    std::uint64_t unreadable = 0;      // draws that met a damaged node of the parent's map
};

/// A quarter is drawn evenly from all clean blocks, the rest evenly from those of them that hold
/// data at the parent: a sparse disk would otherwise be a sample of nothing but zeros. All clean
/// blocks when there are no more than `wanted`; fewer than `wanted` where data is too thinly
/// scattered to be found within the bounds.
/// @errors io and the like of the parent's map; damage is counted instead
[[nodiscard]] Result<Sample> draw_sample(vault::DiskReader& parent, const CleanBlocks& clean,
                                         std::uint64_t wanted, const env::RandomFn& random);

}  // namespace stillpoint::route
