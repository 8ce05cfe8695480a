#pragma once
#include <vector>

#include "base/quantity.hpp"

/// Pure interval algebra. Every set is sorted, disjoint and non-touching; extents have length > 0.
/// Every extent given must end within 64 bits (a broken assumption otherwise): what comes from
/// outside is cut to a disk's size first.
namespace stillpoint::extents {

using ExtentSet = std::vector<Extent>;

/// [from, to); to must not lie before from.
[[nodiscard]] Extent between(ByteOffset from, ByteOffset to);
/// [0, size) as a set; empty for size 0.
[[nodiscard]] ExtentSet whole(ByteCount size);
/// Sorts, drops empty ones, joins overlapping and touching ones.
[[nodiscard]] ExtentSet normalize(std::vector<Extent> extents);
[[nodiscard]] ExtentSet unite(const ExtentSet& a, const ExtentSet& b);
[[nodiscard]] ExtentSet intersect(const ExtentSet& a, const ExtentSet& b);
[[nodiscard]] ExtentSet subtract(const ExtentSet& a, const ExtentSet& b);
/// Cuts at [0, size).
[[nodiscard]] ExtentSet clip(const ExtentSet& set, ByteCount size);
/// Grows every extent to multiples of `step` (a power of two), the end clipped to `size`.
[[nodiscard]] ExtentSet align_outward(const ExtentSet& set, ByteCount step, ByteCount size);
/// Shrinks every extent to multiples of `step` (a power of two); an end at or beyond `size` counts
/// as a multiple: the last, shorter block of a disk is whole. Clipped to `size`.
[[nodiscard]] ExtentSet align_inward(const ExtentSet& set, ByteCount step, ByteCount size);
[[nodiscard]] ByteCount total(const ExtentSet& set);

}  // namespace stillpoint::extents
