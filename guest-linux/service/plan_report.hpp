#pragma once
#include <string>

#include "freeze/plan.hpp"
#include "serialization/value.hpp"

namespace stillpoint::linux_guest {

/// What `stillpoint-guest plan` prints: for people …
[[nodiscard]] std::string plan_text(const FreezePlan& plan);
/// … and for scripts: {"freeze":[…],"not_frozen":[…],"read_only":[…],"unmatched":[…]}.
[[nodiscard]] serialization::Value plan_value(const FreezePlan& plan);

}  // namespace stillpoint::linux_guest
