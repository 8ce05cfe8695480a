#pragma once
#include <string>

#include "base/result.hpp"

namespace stillpoint::linux_guest {

inline constexpr const char* guest_port_name = "org.stillpoint.guest.0";

/// Finds the device node of a virtio-serial port by its name in sysfs; creates nothing. Works
/// without udev, whose link below /dev/virtio-ports is only the second choice.
/// @param sysfs, dev where they are mounted; other folders in tests
/// @errors not_found, id "channel.no_port": the VM has no such port
[[nodiscard]] Result<std::string> find_port(const std::string& name,
                                            const std::string& sysfs = "/sys",
                                            const std::string& dev = "/dev");

}  // namespace stillpoint::linux_guest
