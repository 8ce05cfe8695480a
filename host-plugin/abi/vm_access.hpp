#pragma once
#include <memory>

#include "hypervisor/hypervisor.hpp"
#include "serialization/requests.hpp"

namespace stillpoint::abi {

/// A VM and the driver's name for the record.
struct OpenVm {
    std::string driver;  // "qmp", "libvirt" or "image"
    std::unique_ptr<hypervisor::Vm> vm;
};

/// @errors invalid, id "vm.access": more than one of libvirt, QMP and images; invalid, id
///         "image.option", "image.format_needed": an image given in a way that says too little;
///         those of the driver
[[nodiscard]] Result<OpenVm> open_vm(const serialization::VmAccess& access, const env::Clock& clock,
                                     hypervisor::LibvirtLoop loop);

/// Pure: what --image says, NAME=PATH or NAME=FORMAT:PATH. Without FORMAT the file's name has to
/// tell (.qcow2, .raw); its content is not asked, because a guest may write whatever it likes
/// there.
/// @errors as open_vm
[[nodiscard]] Result<hypervisor::ImageDisk> parse_image(const std::string& given);

}  // namespace stillpoint::abi
