#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "env/clock.hpp"
#include "serialization/retention.hpp"

namespace stillpoint::policy {

/// What a decision needs to know of one recovery point.
struct RetainedPoint {
    std::string id;
    env::Nanoseconds time{};  // wall clock at the snapshot's instant
    serialization::Level level = serialization::Level::crash;
    bool recovered = false;  // brought back by a repair, not confirmed yet
};

/// @errors invalid, id "retention.rules": `within` or `zone` cannot be understood
[[nodiscard]] Status check_rules(const serialization::RetentionRules& rules);

/// Why each point of one VM is kept: for every rule the newest point of each of its last hours,
/// days … that have one. Kept in any case: the newest point, the newest of the best level that
/// there is ("best level": so that an application-consistent point never gives way to
/// crash-consistent ones), and what nobody has confirmed yet ("recovered"), which counts for no
/// rule. Pure. @param points in any order
/// @return reasons in the order of `points`; none: to be forgotten
/// @errors as check_rules · refused, id "retention.no_rule": the rules would keep nothing
[[nodiscard]] Result<std::vector<std::vector<std::string>>> reasons_to_keep(
    const std::vector<RetainedPoint>& points, const serialization::RetentionRules& rules);

}  // namespace stillpoint::policy
