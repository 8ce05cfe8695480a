#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "freeze/mountinfo.hpp"
#include "freeze/rules.hpp"

namespace stillpoint::linux_guest {

/// What sysfs says of one block device.
struct BlockDevice {
    std::string name;             // e.g. dm-0
    std::vector<DeviceId> below;  // slaves of dm, md and bcache; the disk of a partition
    std::optional<std::string> backing_file;  // loop devices: as the kernel names it
    bool suspended = false;                   // device-mapper: somebody holds its I/O back
};

/// A picture of the device stack, taken before the window; plain data so that plans can be tested.
struct SysfsFacts {
    std::map<DeviceId, BlockDevice> devices;
    /// Filesystems without a device number of their own (btrfs): superblock -> its devices.
    std::map<DeviceId, std::vector<DeviceId>> members;
    std::map<DeviceId, Identity> identities;  // filled only where a rule asks for them
    /// Superblocks that the kernel keeps, mounted or not (ext4, xfs, f2fs): device -> type.
    std::map<DeviceId, std::string> live;
};

/// Reads the facts for every block-backed mount and, recursively, what lies below it. What cannot
/// be read is absent from the facts; the plan treats absence as "nothing below".
/// @param sysfs where sysfs is mounted; another folder in tests
[[nodiscard]] SysfsFacts read_sysfs(const MountTable& mounts, const std::string& sysfs = "/sys");
/// Adds what another mount table needs.
void add_sysfs(SysfsFacts& facts, const MountTable& mounts, const std::string& sysfs = "/sys");

}  // namespace stillpoint::linux_guest
