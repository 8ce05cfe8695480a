#pragma once
#include <optional>
#include <string>
#include <vector>

#include "route/audit.hpp"
#include "serialization/reports.hpp"

/// Whether the image behind a disk is really its own (I3). One backup gives one name to the bitmaps
/// of all disks, as libvirt's checkpoints must, and images may change places while a VM is off:
/// then each has the bitmap that is expected of another. ADR-0013
namespace stillpoint::route {

/// Why a disk is no increment after all, and what it is instead.
struct Unmasked {
    serialization::DiskMode mode =
        serialization::DiskMode::compare;  // full: nothing to compare with
    std::string reason;
};

/// Looks at the blocks that would give it away. Were the image that of a namesake, its clean blocks
/// would be the namesake's at the parent point: so one clean block in which both differed then
/// decides, and where there is none nothing that is not read anyway can be wrong. Reads one block
/// for each namesake at most; costs of the maps what the first such block takes to be found.
/// @return nullopt: no namesake's image
/// @errors those of reading the view or a map, except damage: what cannot be told is a reason too
[[nodiscard]] Result<std::optional<Unmasked>> unmask(const AuditTask& task,
                                                     const vault::DiskRoot& own,
                                                     const std::vector<vault::DiskRoot>& namesakes,
                                                     const env::CancelToken& cancel);

}  // namespace stillpoint::route
