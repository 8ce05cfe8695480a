#pragma once
#include <vector>

#include "route/transfer.hpp"

/// What a recovery point tells about how a disk came into it. Pure.
namespace stillpoint::route {

/// @param time_ns wall clock at the snapshot's instant
[[nodiscard]] DiskDocument describe_disk(const DiskDecision& decision, const DiskTransfer& transfer,
                                         std::int64_t time_ns);

/// Alerts of the audit: change tracking that was wrong, a parent that cannot be read.
[[nodiscard]] std::vector<serialization::Warning> judge_audit(const DiskDecision& decision,
                                                              const DiskTransfer& transfer);

}  // namespace stillpoint::route
