#pragma once
#include "hypervisor/hypervisor.hpp"
#include "quiesce/level.hpp"
#include "route/still_point.hpp"

/// Turns what was said and heard around a snapshot into the point's level (I5). Pure.
namespace stillpoint::route {

/// The level, its evidence and everything that the user must be told about the still point.
[[nodiscard]] quiesce::LevelResult judge(const Conversation& conversation,
                                         const hypervisor::SnapshotTimes& times,
                                         const hypervisor::VmInfo& vm);

}  // namespace stillpoint::route
