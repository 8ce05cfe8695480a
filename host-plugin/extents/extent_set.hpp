#pragma once
#include <vector>

#include "base/quantity.hpp"

/// Pure interval algebra. Every set is sorted, disjoint and non-touching; extents have length > 0.
namespace stillpoint::extents {

using ExtentSet = std::vector<Extent>;

/// Sorts, drops empty ones, joins overlapping and touching ones.
[[nodiscard]] ExtentSet normalize(std::vector<Extent> extents);
[[nodiscard]] ExtentSet unite(const ExtentSet& a, const ExtentSet& b);
[[nodiscard]] ExtentSet intersect(const ExtentSet& a, const ExtentSet& b);
[[nodiscard]] ExtentSet subtract(const ExtentSet& a, const ExtentSet& b);
/// Cuts at [0, size).
[[nodiscard]] ExtentSet clip(const ExtentSet& set, ByteCount size);
/// Grows every extent to multiples of `step` (a power of two), the end clipped to `size`.
[[nodiscard]] ExtentSet align_outward(const ExtentSet& set, ByteCount step, ByteCount size);
[[nodiscard]] ByteCount total(const ExtentSet& set);

}  // namespace stillpoint::extents
