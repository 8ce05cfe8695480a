#include "freeze/plan.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

namespace stillpoint::linux_guest {
namespace {

template <std::size_t N>
bool listed(const std::array<std::string_view, N>& names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
}

/// Filesystems on block devices whose superblock has no device number of its own.
constexpr std::array<std::string_view, 3> anonymous_block_types{"bcachefs", "btrfs", "zfs"};
/// Kernel filesystems without storage and without a server: a path may lead through them.
constexpr std::array<std::string_view, 12> harmless_types{
    "aufs",     "autofs",  "cgroup", "cgroup2", "debugfs", "devpts",
    "devtmpfs", "overlay", "proc",   "ramfs",   "rootfs",  "tmpfs"};
constexpr std::array<std::string_view, 14> network_types{
    "9p",     "afs",   "beegfs", "ceph", "cifs",     "coda", "gpfs",
    "lustre", "ncpfs", "nfs",    "nfs4", "orangefs", "smb3", "virtiofs"};

/// For telling people beforehand; what counts is the kernel's answer.
constexpr std::array<std::string_view, 4> unfreezable_types{"exfat", "msdos", "vfat", "zfs"};

constexpr int overlay_depth_max = 8;
constexpr std::string_view deleted_suffix = " (deleted)";

using Superblocks = std::map<DeviceId, std::vector<const Mount*>>;

/// The device stack between superblocks; answers how deep each one sits.
class Stack {
public:
    Stack(const MountTable& mounts, const SysfsFacts& facts) : mounts_(mounts), facts_(facts) {}

    struct Depth {
        int level = 0;
        std::string problem;  // not empty: this filesystem must be left alone
    };

    Depth depth(DeviceId superblock) {
        if (const auto known = known_.find(superblock); known != known_.end()) return known->second;
        if (!under_way_.insert(superblock).second)
            return {0, "its devices are stacked in a circle"};
        Depth result;
        for (const DeviceId device : devices_of(superblock)) {
            const Depth below = below_loop(device);
            result.level = std::max(result.level, below.level);
            if (result.problem.empty()) result.problem = below.problem;
        }
        under_way_.erase(superblock);
        return known_[superblock] = result;
    }

    /// Every block device the superblock uses, whatever the number of layers.
    std::set<DeviceId> devices_of(DeviceId superblock) const {
        std::set<DeviceId> all;
        const auto members = facts_.members.find(superblock);
        if (members == facts_.members.end()) {
            add_stack(superblock, all);
        } else {
            for (const DeviceId member : members->second) add_stack(member, all);
        }
        return all;
    }

    bool suspended(DeviceId superblock) const {
        return std::ranges::any_of(devices_of(superblock), [&](DeviceId device) {
            return facts_.devices.at(device).suspended;
        });
    }

private:
    void add_stack(DeviceId device, std::set<DeviceId>& all) const {
        const auto found = facts_.devices.find(device);
        if (found == facts_.devices.end() || !all.insert(device).second) return;
        for (const DeviceId below : found->second.below) add_stack(below, all);
    }

    Depth below_loop(DeviceId device) {
        const auto& file = facts_.devices.at(device).backing_file;
        if (!file) return {};
        std::string_view path = *file;
        if (path.ends_with(deleted_suffix)) path.remove_suffix(deleted_suffix.size());
        const auto holder = superblock_at(path, 0);
        if (!holder) return {0, "the file " + *file + " behind its loop device cannot be located"};
        const Depth below = depth(*holder);
        return {below.level + 1, below.problem};
    }

    std::optional<DeviceId> superblock_at(std::string_view path, int overlays) const {
        const auto walked = mounts_.walk(path);
        if (walked.empty()) return std::nullopt;
        const Mount& mount = *walked.back();
        if (mount.type != "overlay") return mount.device;
        // What is written to an overlay lands on the filesystem of its upper folder.
        const auto upper = mount.super_option("upperdir");
        if (!upper || overlays >= overlay_depth_max) return std::nullopt;
        return superblock_at(*upper, overlays + 1);
    }

    const MountTable& mounts_;
    const SysfsFacts& facts_;
    std::map<DeviceId, Depth> known_;
    std::set<DeviceId> under_way_;
};

bool may_walk(const Mount& mount) {
    const Backing backing = backing_of(mount);
    return backing == Backing::block || backing == Backing::anonymous_block ||
           listed(harmless_types, mount.type);
}

/// @return the mount that makes the path unusable; null when it can be opened safely
const Mount* obstacle(const MountTable& mounts, const Mount& mount) {
    for (const Mount* step : mounts.walk(mount.point)) {
        if (!may_walk(*step)) return step;
    }
    return nullptr;
}

struct Access {
    std::vector<Mount> candidates;
    std::string problem;
};

Access access_of(const MountTable& mounts, const std::vector<const Mount*>& same) {
    Access access;
    for (const Mount* mount : same) {
        if (!mounts.visible(*mount)) {
            access.problem = "hidden under another mount";
        } else if (const Mount* blocked = obstacle(mounts, *mount)) {
            access.problem =
                "reachable only through " + blocked->point + " (" + blocked->type + ")";
        } else {
            access.candidates.push_back(*mount);
        }
    }
    if (!access.candidates.empty()) access.problem.clear();
    return access;
}

/// Best name first: the whole filesystem rather than a part of it, then the shortest path.
bool better(const Mount* a, const Mount* b) {
    const auto key = [](const Mount& m) {
        return std::tuple{m.root != "/", m.point.size(), m.point};
    };
    return key(*a) < key(*b);
}

class Planner {
public:
    Planner(const MountTable& mounts, const SysfsFacts& facts, const FreezeRules& rules)
        : mounts_(mounts), rules_(rules), facts_(facts), stack_(mounts, facts) {}

    Result<FreezePlan> run() {
        const Superblocks superblocks = collect();
        for (const auto& [device, same] : superblocks) SP_TRY(judge(device, same));
        if (plan_.targets.size() > filesystems_max) {
            return fail(Errc::unsupported, "freeze.too_many",
                        std::to_string(plan_.targets.size()) + " filesystems; at most " +
                            std::to_string(filesystems_max) + " can be frozen together",
                        "exclude some in guest.xml");
        }
        std::ranges::sort(plan_.targets, [](const Target& a, const Target& b) {
            return std::tuple{-a.level, a.name} < std::tuple{-b.level, b.name};
        });
        for (const std::string& entry : rules_.exclude) {
            if (!matched_.contains(entry)) plan_.unmatched.push_back(entry);
        }
        return std::move(plan_);
    }

private:
    Superblocks collect() const {
        Superblocks superblocks;
        for (const Mount& mount : mounts_.mounts()) {
            const Backing backing = backing_of(mount);
            const bool local = backing == Backing::block || backing == Backing::anonymous_block ||
                               (backing == Backing::user_space && mount.device.major != 0);
            if (local) superblocks[mount.device].push_back(&mount);
        }
        for (auto& [device, same] : superblocks) std::ranges::sort(same, better);
        return superblocks;
    }

    Status judge(DeviceId device, const std::vector<const Mount*>& same) {
        const Mount& named = *same.front();
        const bool excluded = exclude(same);
        if (named.read_only()) {
            plan_.read_only.push_back(named.point);
        } else if (excluded) {
            leave(named, "excluded in guest.xml").excluded = true;
        } else if (backing_of(named) == Backing::user_space) {
            leave(named, "served by a user-space program");
        } else {
            return add(device, same);
        }
        return {};
    }

    Status add(DeviceId device, const std::vector<const Mount*>& same) {
        const Mount& named = *same.front();
        Access access = access_of(mounts_, same);
        const Stack::Depth depth = stack_.depth(device);
        if (access.problem.empty()) access.problem = depth.problem;
        if (!access.problem.empty()) {
            leave(named, access.problem);
            return {};
        }
        if (stack_.suspended(device)) {
            return fail(Errc::busy, "freeze.suspended",
                        "a device below " + named.point + " is suspended (device-mapper)",
                        "wait until the volume manager is done");
        }
        const auto members = facts_.members.find(device);
        const auto stat_devices = members != facts_.members.end()       ? members->second
                                  : backing_of(named) == Backing::block ? std::vector{device}
                                                                        : std::vector<DeviceId>{};
        const std::string name = access.candidates.front().point;
        plan_.targets.push_back({name, named.type, device, depth.level,
                                 std::move(access.candidates), stat_devices,
                                 !listed(unfreezable_types, named.type)});
        return {};
    }

    Uncovered& leave(const Mount& mount, std::string note) {
        plan_.uncovered.push_back({mount.point, mount.type, mount.device, false, std::move(note)});
        return plan_.uncovered.back();
    }

    bool exclude(const std::vector<const Mount*>& same) {
        bool excluded = false;
        for (const Mount* mount : same) {
            if (std::ranges::find(rules_.exclude, mount->point) == rules_.exclude.end()) continue;
            matched_.insert(mount->point);
            excluded = true;
        }
        return excluded;
    }

    const MountTable& mounts_;
    const FreezeRules& rules_;
    const SysfsFacts& facts_;
    Stack stack_;
    FreezePlan plan_;
    std::set<std::string> matched_;
};

}  // namespace

Backing backing_of(const Mount& mount) {
    if (mount.type.starts_with("fuse")) return Backing::user_space;
    if (listed(network_types, mount.type)) return Backing::network;
    if (listed(anonymous_block_types, mount.type)) return Backing::anonymous_block;
    return mount.device.major != 0 ? Backing::block : Backing::none;
}

Result<FreezePlan> plan_freeze(const MountTable& mounts, const SysfsFacts& facts,
                               const FreezeRules& rules) {
    return Planner{mounts, facts, rules}.run();
}

}  // namespace stillpoint::linux_guest
