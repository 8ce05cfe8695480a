#pragma once
#include <string>
#include <vector>

#include "freeze/mountinfo.hpp"
#include "freeze/process_scan.hpp"
#include "freeze/rules.hpp"
#include "freeze/sysfs_facts.hpp"

namespace stillpoint::linux_guest {

inline constexpr std::size_t filesystems_max = 256;  // each costs two small processes in the window

/// Where a filesystem can be opened, and how.
struct Candidate {
    enum class Reach {
        path,    // by the mount's point
        hidden,  // so too, but other mounts cover it: they are taken away in a private namespace
        handle,  // mounted nowhere: `point` is a file that a process holds, below /proc
    };
    Mount mount;
    Reach reach = Reach::path;
};

/// A superblock that will be frozen.
struct Target {
    std::string name;  // its best mount point
    std::string type;
    DeviceId device;
    int level = 0;  // 0: nothing of ours lies below; freeze from the highest level down
    std::vector<Candidate> candidates;   // where it can be opened, best first
    std::vector<DeviceId> stat_devices;  // whose write counters tell that nothing was written
    bool can_freeze = true;              // false: its kind is known not to; tried all the same
    os::Nanoseconds budget{};            // longest FIFREEZE; 0: what is left of the whole budget
    std::string listener;  // not empty: who decides about opens there and writes to the set
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
    std::vector<std::string> unmatched;  // rules that match no block filesystem
    FreezeMode mode = FreezeMode::best_effort;
    [[nodiscard]] int level_max() const { return targets.empty() ? -1 : targets.front().level; }
};

/// Decides, from values alone, what is frozen and in which order (a loop device's filesystem before
/// the one that holds its file). Network, FUSE and pseudo filesystems never become targets.
/// A filesystem that is mounted only in another namespace is named with a process of it.
/// @errors busy, id "freeze.suspended": device-mapper holds a device back, retry later ·
///         unsupported, id "freeze.too_many": more than filesystems_max
/// @param scan what other processes tell: mounts of other namespaces, permission listeners
[[nodiscard]] Result<FreezePlan> plan_freeze(const MountTable& mounts, const SysfsFacts& facts,
                                             const FreezeRules& rules,
                                             const ProcessScan& scan = {});

/// How a filesystem type is served; pure.
enum class Backing { none, block, anonymous_block, user_space, network };
[[nodiscard]] Backing backing_of(const Mount& mount);

}  // namespace stillpoint::linux_guest
