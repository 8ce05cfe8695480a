#pragma once
#include "freeze/freeze_engine.hpp"
#include "hooks/hook_folder.hpp"
#include "serialization/doctor.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::linux_guest {

/// Examines this machine: the filesystems (with a dry run of each, if wanted), the hooks and who
/// could have written them, the clock, and the room for the journal. Changes nothing for good.
/// Ends early where the waiter is cancelled; then a finding says so.
[[nodiscard]] serialization::Diagnosis examine(FreezeEngine& freezer, const GuestConfig& config,
                                               const TrustRules& trust, bool dry_run,
                                               os::Waiter& waiter);

}  // namespace stillpoint::linux_guest
