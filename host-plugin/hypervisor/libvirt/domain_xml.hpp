#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "env/peer.hpp"

namespace stillpoint::hypervisor::libvirt {

/// A `<disk device='disk'|'lun'>` of a domain's XML.
struct DomainDisk {
    std::string name;  // target dev: vda
    std::string path;  // file, device, or pool/volume, protocol:name for what has no local path
    bool local_path = false;
    std::string format;  // driver type; raw when not said
    std::string serial;
    bool read_only = false;
    bool encrypted = false;          // its secret is known to libvirt and QEMU alone
    bool sliced = false;             // a part of its file
    bool block_job = false;          // a <mirror>: copy or commit under way
    std::vector<int> layer_indexes;  // live XML: the layers' index, active one first; else empty
};

/// What we need of a domain's XML, live or not.
struct DomainXml {
    std::string name;
    std::string uuid;
    std::vector<DomainDisk> disks;
    std::string guest_channel;           // host socket of org.stillpoint.guest.0; live XML only
    std::optional<env::Peer> qemu_user;  // live XML of a daemon that changes users
};

/// Pure. @errors corrupt, id "libvirt.xml"
[[nodiscard]] Result<DomainXml> parse_domain(const std::string& xml);

/// The document to define the VM from again: `inactive` (without secrets, aliases and backing
/// chains) when it names every disk of `live`, else `live` without its backing chains.
/// Pure. @errors corrupt, id "libvirt.xml"
[[nodiscard]] Result<std::string> definition_from(const std::string& live,
                                                  const std::string& inactive);

}  // namespace stillpoint::hypervisor::libvirt
