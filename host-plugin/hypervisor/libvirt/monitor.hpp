#pragma once
#include <string>

#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/nodes.hpp"

/// The two questions to QEMU that libvirt has no call for. libvirt notes a domain that was asked
/// this way as tainted (custom-monitor); that has no other effect.
namespace stillpoint::hypervisor::libvirt {

/// All block nodes with their bitmaps. Blocks: call on a lane.
[[nodiscard]] Result<Nodes> query_nodes(virDomainPtr domain);

/// Removes a bitmap that libvirt has no checkpoint for, or an inconsistent one. Blocks: as above.
/// @errors refused, id "qemu.refused": QEMU's own words
[[nodiscard]] Status remove_bitmap(virDomainPtr domain, const std::string& node,
                                   const std::string& bitmap);

}  // namespace stillpoint::hypervisor::libvirt
