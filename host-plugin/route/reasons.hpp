#pragma once
#include <string>

#include "hypervisor/hypervisor.hpp"
#include "route/point_document.hpp"

/// Why a disk is read in full, in words for the point's reader. Pure.
namespace stillpoint::route {

/// What is not as it was at the parent point, which says `before` of the disk.
[[nodiscard]] std::string why_replaced(const hypervisor::DiskInfo& disk,
                                       const DiskDocument& before);

/// Why the bitmap that began with the parent point may be missing. @param name the bitmap's
[[nodiscard]] std::string why_missing(const hypervisor::DiskInfo& disk, const std::string& name);

}  // namespace stillpoint::route
