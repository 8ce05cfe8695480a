#pragma once
#include <map>
#include <optional>
#include <string_view>

#include "freeze/rules.hpp"
#include "freeze/sysfs_facts.hpp"

namespace stillpoint::linux_guest {

/// How much of a block device's beginning tells what it is: btrfs keeps its superblock at 64 KiB.
inline constexpr std::size_t superblock_bytes = 68u << 10;

/// Reads UUID and label out of the beginning of an ext, xfs, btrfs or FAT filesystem; pure.
/// @param head up to superblock_bytes
/// @return nullopt: none of these
[[nodiscard]] std::optional<Identity> identify(std::string_view head);

/// Reads UUID and label from udev's record of a device; pure.
/// @param record the text of /run/udev/data/b<major>:<minor>
/// @return nullopt: it names no filesystem
[[nodiscard]] std::optional<Identity> identity_in_udev(std::string_view record);

/// Where to look; other folders in tests.
struct IdentityPlaces {
    std::string sysfs = "/sys";
    std::string udev = "/run/udev/data";
    std::string dev = "/dev";
};

/// UUID and label of every block-backed superblock that is mounted: from udev's records, from
/// sysfs (btrfs), or else from the superblock on the device, read by a child that is given up
/// after two seconds. Suspended devices are not read. What is not found is absent.
[[nodiscard]] std::map<DeviceId, Identity> read_identities(const MountTable& mounts,
                                                           const SysfsFacts& facts,
                                                           const IdentityPlaces& places = {});

}  // namespace stillpoint::linux_guest
