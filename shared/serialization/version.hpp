#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>

#include "serialization/messages.hpp"

namespace stillpoint::serialization {

/// The protocol versions one side speaks, both ends included.
struct VersionRange {
    std::uint32_t min = protocol_version_min;
    std::uint32_t max = protocol_version_max;
};

/// @return the newest version that both sides speak; nullopt when there is none, also when a range
/// is upside down
[[nodiscard]] constexpr std::optional<std::uint32_t> choose_version(VersionRange a,
                                                                    VersionRange b) {
    const std::uint32_t oldest = std::max(a.min, b.min);
    const std::uint32_t newest = std::min(a.max, b.max);
    if (a.min > a.max || b.min > b.max || oldest > newest) return std::nullopt;
    return newest;
}

static_assert(choose_version({1, 1}, {1, 1}) == 1u);
static_assert(choose_version({1, 3}, {2, 5}) == 3u && choose_version({2, 5}, {1, 3}) == 3u);
static_assert(!choose_version({1, 1}, {2, 2}) && !choose_version({3, 1}, {1, 3}));
static_assert(protocol_version_min <= protocol_version_max);

}  // namespace stillpoint::serialization
