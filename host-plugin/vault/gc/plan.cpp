#include "vault/gc/plan.hpp"

#include <algorithm>
#include <limits>

namespace stillpoint::vault::gc {
namespace {

/// Packs that came later may belong to a run that is still at work.
std::uint64_t oldest_claim_ns(const std::vector<RunState>& live) {
    std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
    const auto margin = static_cast<std::uint64_t>(env::Nanoseconds{clock_skew_max}.count());
    for (const RunState& run : live) {
        oldest = std::min(oldest, run.started_ns > margin ? run.started_ns - margin : 0);
    }
    return oldest;
}

bool is_sparse(const PackFacts& pack, std::uint32_t needed, unsigned below_percent) {
    return pack.records > 0 &&
           std::uint64_t{needed} * 100 < std::uint64_t{pack.records} * below_percent;
}

}  // namespace

Plan plan_packs(const PlanInput& input) {
    Plan plan;
    const std::uint64_t claimed_from = oldest_claim_ns(input.live);
    for (const PackFacts& pack : input.packs) {
        if (input.condemned.contains(pack.name)) continue;
        const auto use = input.reach.packs().find(pack.name);
        if (use != input.reach.packs().end()) {
            if (is_sparse(pack, use->second.count, input.repack_below_percent)) {
                plan.sparse.push_back(pack);
            }
        } else if (!input.live.empty() &&
                   (pack.modified_ns == 0 || pack.modified_ns >= claimed_from)) {
            plan.young.push_back(pack);
        } else {
            plan.dead.push_back(pack);
        }
    }
    return plan;
}

}  // namespace stillpoint::vault::gc
