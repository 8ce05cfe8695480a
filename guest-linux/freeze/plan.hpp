#pragma once
#include <string>
#include <vector>

#include "freeze/mountinfo.hpp"
#include "freeze/sysfs_facts.hpp"

namespace stillpoint::linux_guest {

inline constexpr std::size_t filesystems_max = 256;  // each costs two small processes in the window

/// What the administrator wants left alone.
struct FreezeRules {
    std::vector<std::string> exclude;  // mount points
};

/// A superblock that will be frozen.
struct Target {
    std::string name;  // its best mount point
    std::string type;
    DeviceId device;
    int level = 0;  // 0: nothing of ours lies below; freeze from the highest level down
    std::vector<Mount> candidates;       // where it can be opened, best first
    std::vector<DeviceId> stat_devices;  // whose write counters tell that nothing was written
    bool can_freeze = true;              // false: its kind is known not to; tried all the same
};

/// A writable block filesystem that stays as it is; the recovery point will be partial.
struct Uncovered {
    std::string name;
    std::string type;
    DeviceId device;
    bool excluded = false;
    std::string note;  // why
};

struct FreezePlan {
    std::vector<Target> targets;  // highest level first, then by name
    std::vector<Uncovered> uncovered;
    std::vector<std::string> read_only;  // mount points, for people: nothing to freeze there
    std::vector<std::string>
        unmatched;  // exclude entries that are no mount point of a block filesystem
    [[nodiscard]] int level_max() const { return targets.empty() ? -1 : targets.front().level; }
};

/// Decides, from values alone, what is frozen and in which order (a loop device's filesystem before
/// the one that holds its file). Network, FUSE and pseudo filesystems never become targets.
/// @errors busy, id "freeze.suspended": device-mapper holds a device back, retry later ·
///         unsupported, id "freeze.too_many": more than filesystems_max
[[nodiscard]] Result<FreezePlan> plan_freeze(const MountTable& mounts, const SysfsFacts& facts,
                                             const FreezeRules& rules);

/// How a filesystem type is served; pure.
enum class Backing { none, block, anonymous_block, user_space, network };
[[nodiscard]] Backing backing_of(const Mount& mount);

}  // namespace stillpoint::linux_guest
