#pragma once
#include "extents/extent_set.hpp"

namespace stillpoint::capture {

/// A disk can have more extents than memory should hold (16 TiB in 64 KiB steps: 10^8). Beyond this
/// many a set is coarsened: 2^20 extents are 16 MiB, and differ from the truth only on disks where
/// reading that much takes minutes anyway.
inline constexpr std::size_t extents_max = 1u << 20;

/// In which direction an extent may be wrong: dirty ones may grow, zero ones may shrink.
enum class Coarsen { outward, inward };

struct CollectorLimits {
    ByteCount step;  // of the first coarsening, a power of two; doubled until the set fits
    ByteCount size;  // of the disk
    std::size_t items_max = extents_max;
};

/// Collects extents in any order in bounded memory.
/// @threads one at a time
class ExtentCollector {
public:
    ExtentCollector(Coarsen direction, const CollectorLimits& limits)
        : direction_(direction), limits_(limits) {}
    /// Parts beyond the disk's size are dropped.
    void add(const Extent& extent);
    /// @return at most items_max extents; the collector is empty afterwards
    [[nodiscard]] extents::ExtentSet take();

private:
    void shrink();
    Coarsen direction_;
    CollectorLimits limits_;
    std::vector<Extent> items_;
};

}  // namespace stillpoint::capture
