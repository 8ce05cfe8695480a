#pragma once
#include <map>
#include <optional>
#include <string>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/domain_xml.hpp"
#include "hypervisor/libvirt/nodes.hpp"

namespace stillpoint::hypervisor::libvirt {

/// What one look at a domain tells.
struct Facts {
    VmInfo vm;
    DomainXml xml;   // live where the VM runs
    Nodes nodes;     // empty when it does not
    int state = 0;   // virDomainState
    int reason = 0;  // its reason code
    [[nodiscard]] const DomainDisk* disk(const std::string& name) const;
    /// The node of a disk's active layer; null: shut off or unknown.
    [[nodiscard]] const Node* active_node(const std::string& disk_name) const;
};

/// @param flags virDomainXMLFlags, never VIR_DOMAIN_XML_SECURE: secrets are not ours to keep
/// @errors as libvirt's. Blocks: call on a lane
[[nodiscard]] Result<std::string> xml_of(virDomainPtr domain, unsigned flags);

/// Blocks: call on a lane. Changes nothing. Of a VM that is off the disks' sizes and bitmaps are
/// not told: their images know them.
[[nodiscard]] Result<Facts> read_facts(virDomainPtr domain);

/// QEMU exists (running, paused, …).
[[nodiscard]] bool is_active(const Facts& facts);

/// The VM was stopped by an I/O error of a disk (or of our scratch behind it).
/// @errors as libvirt's. Blocks: call on a lane
[[nodiscard]] Result<bool> paused_by_io_error(virDomainPtr domain);

/// Summed over all disks. @errors as libvirt's. Blocks: call on a lane
[[nodiscard]] Result<GuestWrites> count_guest_writes(virDomainPtr domain);

}  // namespace stillpoint::hypervisor::libvirt
