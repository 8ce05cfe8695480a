#pragma once
#include <vector>

#include "vault/gc/live_runs.hpp"
#include "vault/gc/reach.hpp"

/// Which packs to condemn. Pure.
namespace stillpoint::vault::gc {

struct PackFacts {
    PackName name;
    std::uint64_t bytes = 0;        // of the object
    std::uint64_t modified_ns = 0;  // when the store got it; 0: unknown
    std::uint32_t records = 0;      // as the index says; 0: not indexed
};

struct PlanInput {
    std::vector<PackFacts> packs;  // in the store
    const Reach& reach;
    std::set<PackName> condemned;  // by earlier marks
    std::vector<RunState> live;    // runs that may publish, ours not counted
    unsigned repack_below_percent = 0;
};

struct Plan {
    std::vector<PackFacts> dead;    // no point needs anything of them
    std::vector<PackFacts> sparse;  // few records are needed: worth copying
    std::vector<PackFacts> young;   // dead, but a running backup may have written them
};

/// A pack that no point needs may be one that a running backup has just written: what reached the
/// store since the oldest of them began (clock_skew_max earlier, to be sure) is left alone. That
/// only spares work: condemned, such a pack would be rescued once the backup has published.
[[nodiscard]] Plan plan_packs(const PlanInput& input);

}  // namespace stillpoint::vault::gc
