#pragma once
#include <memory>

#include "hypervisor/hypervisor.hpp"
#include "serialization/requests.hpp"

namespace stillpoint::abi {

/// A VM and the driver's name for the record.
struct OpenVm {
    std::string driver;  // "qmp" or "libvirt"
    std::unique_ptr<hypervisor::Vm> vm;
};

/// @errors invalid, id "vm.access": both or neither of libvirt and QMP; those of the driver
[[nodiscard]] Result<OpenVm> open_vm(const serialization::VmAccess& access, const env::Clock& clock,
                                     hypervisor::LibvirtLoop loop);

}  // namespace stillpoint::abi
