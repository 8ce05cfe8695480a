#pragma once
#include <string>

#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/nodes.hpp"
#include "serialization/value.hpp"

/// What is asked of QEMU because libvirt has no call for it. libvirt notes a domain that was asked
/// this way as tainted (custom-monitor); that has no other effect.
namespace stillpoint::hypervisor::libvirt {

/// All block nodes with their bitmaps. Blocks: call on a lane.
[[nodiscard]] Result<Nodes> query_nodes(virDomainPtr domain);

/// A command whose answer says no more than that it succeeded. @param doing for its error's text
/// Blocks: as above. @errors refused, id "qemu.refused": QEMU's own words
[[nodiscard]] Status run_monitor(virDomainPtr domain, const std::string& doing,
                                 const std::string& command, serialization::Map arguments);

/// Removes a bitmap that libvirt has no checkpoint for, or an inconsistent one. Blocks: as above.
/// @errors refused, id "qemu.refused": QEMU's own words
[[nodiscard]] Status remove_bitmap(virDomainPtr domain, const std::string& node,
                                   const std::string& bitmap);

}  // namespace stillpoint::hypervisor::libvirt
