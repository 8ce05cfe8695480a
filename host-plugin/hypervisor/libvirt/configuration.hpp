#pragma once
#include <string>
#include <vector>

#include "hypervisor/configuration.hpp"
#include "hypervisor/libvirt/api.hpp"

/// What a domain needs beside its disks: definition, UEFI variables, TPM state.
namespace stillpoint::hypervisor::libvirt {

/// How libvirt keeps the domain that an XML describes.
struct DomainHome {
    bool active = false;     // QEMU runs: it has what a qcow2 file may not have yet
    env::Path swtpm_folder;  // holds a folder for each domain that has a TPM
};

/// The folder below which libvirt lets swtpm keep its state.
/// @param user_folder $XDG_CONFIG_HOME, else ~/.config; used for a session's daemon
/// @source libvirt 9.0, qemu_conf.c: virQEMUDriverConfigNew
[[nodiscard]] env::Path swtpm_folder_of(const std::string& uri, const env::Path& user_folder);

/// Where UEFI variables and TPM state of a domain lie. Pure.
/// @param xml the live XML where the VM runs, else the inactive one
/// @errors corrupt, id "libvirt.xml"
[[nodiscard]] Result<std::vector<ConfigurationPlace>> configuration_places(const std::string& xml,
                                                                           const DomainHome& home);

/// Asks libvirt. Blocks: call on a lane
[[nodiscard]] Result<Configuration> read_configuration(virDomainPtr domain, const std::string& uri);

}  // namespace stillpoint::hypervisor::libvirt
