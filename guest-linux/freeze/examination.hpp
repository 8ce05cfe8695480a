#pragma once
#include <vector>

#include "freeze/plan.hpp"
#include "serialization/doctor.hpp"

namespace stillpoint::linux_guest {

/// What a plan tells about the machine's filesystems: stacks, what stays uncovered, listeners,
/// rules without effect; pure.
[[nodiscard]] std::vector<serialization::Finding> judge_plan(const FreezePlan& plan,
                                                             const ProcessScan& scan);

/// What the dry run of a filesystem tells; pure. @return nothing where all is well
[[nodiscard]] std::vector<serialization::Finding> judge_dry_run(
    const serialization::MountCheck& check, const Error* error);

/// Programs that freeze filesystems too, by the names of their processes.
[[nodiscard]] std::vector<serialization::Finding> find_other_freezers(
    const std::string& proc = "/proc");

}  // namespace stillpoint::linux_guest
