#include "freeze/plan.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "freeze/device_stack.hpp"

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

/// The most paths to one filesystem that are kept: 300 bind mounts are one filesystem.
constexpr std::size_t candidates_max = 8;

/// Where a permission listener may hold up a freeze for good, that is noticed early.
constexpr os::Nanoseconds listener_budget_max = std::chrono::seconds{2};

struct Access {
    std::vector<Candidate> candidates;
    std::string problem;
};

Access access_of(const MountTable& mounts, const std::vector<const Mount*>& same) {
    Access access;
    std::vector<Candidate> hidden;
    for (const Mount* mount : same) {
        if (access.candidates.size() >= candidates_max) break;
        if (const Mount* blocked = obstacle(mounts, *mount)) {
            access.problem =
                "reachable only through " + blocked->point + " (" + blocked->type + ")";
        } else if (mounts.visible(*mount)) {
            access.candidates.push_back({*mount, Candidate::Reach::path});
        } else if (!mount->via.empty()) {
            access.problem = "hidden under another mount of another namespace";
        } else if (hidden.size() < candidates_max) {
            hidden.push_back({*mount, Candidate::Reach::hidden});
        }
    }
    if (access.candidates.empty()) access.candidates = std::move(hidden);
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

/// One superblock, with the table of the namespace it is seen in.
struct Found {
    const MountTable* table = nullptr;
    const OtherNamespace* elsewhere = nullptr;  // null: our own
    std::vector<const Mount*> mounts;           // best name first
};
using Superblocks = std::map<DeviceId, Found>;

class Planner {
public:
    Planner(const MountTable& mounts, const SysfsFacts& facts, const FreezeRules& rules,
            const ProcessScan& scan)
        : mounts_(mounts), rules_(rules), facts_(facts), scan_(scan), stack_(mounts, facts) {}

    Result<FreezePlan> run() {
        plan_.mode = rules_.mode;
        collect();
        for (const auto& [device, found] : superblocks_) SP_TRY(judge(device, found));
        add_detached();
        if (plan_.targets.size() > filesystems_max) {
            return fail(Errc::unsupported, "freeze.too_many",
                        std::to_string(plan_.targets.size()) + " filesystems; at most " +
                            std::to_string(filesystems_max) + " can be frozen together",
                        "exclude some in guest.xml");
        }
        name_listeners();
        std::ranges::sort(plan_.targets, [](const Target& a, const Target& b) {
            return std::tuple{-a.level, a.name} < std::tuple{-b.level, b.name};
        });
        for (const auto* rules : {&rules_.include, &rules_.exclude}) {
            for (const Pattern& rule : *rules) {
                if (!matched_.contains(&rule)) plan_.unmatched.push_back(rule.shown());
            }
        }
        return std::move(plan_);
    }

private:
    void collect() {
        take_table(mounts_, nullptr);
        for (const OtherNamespace& other : scan_.namespaces) take_table(other.mounts, &other);
        for (auto& [device, found] : superblocks_) std::ranges::sort(found.mounts, better);
    }

    void take_table(const MountTable& table, const OtherNamespace* elsewhere) {
        for (const Mount& mount : table.mounts()) {
            mount_devices_[mount.id] = mount.device;
            const Backing backing = backing_of(mount);
            const bool local = backing == Backing::block || backing == Backing::anonymous_block ||
                               (backing == Backing::user_space && mount.device.major != 0);
            if (!local) continue;
            Found& found = superblocks_[mount.device];
            if (found.table == nullptr) found = {&table, elsewhere, {}};
            if (found.table == &table) found.mounts.push_back(&mount);
        }
    }

    Status judge(DeviceId device, const Found& found) {
        const Mount& named = *found.mounts.front();
        const bool excluded = left_out(device, found);
        if (named.read_only()) {
            plan_.read_only.push_back(name_of(found, named, Candidate::Reach::path));
        } else if (excluded) {
            leave(device, found, "excluded in guest.xml").excluded = true;
        } else if (backing_of(named) == Backing::user_space) {
            leave(device, found, "served by a user-space program");
        } else {
            return add(device, found);
        }
        return {};
    }

    Status add(DeviceId device, const Found& found) {
        const Mount& named = *found.mounts.front();
        Access access = access_of(*found.table, found.mounts);
        const DeviceStack::Depth depth = stack_.depth(device);
        if (access.problem.empty()) access.problem = depth.problem;
        if (!access.problem.empty()) {
            leave(device, found, access.problem);
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
        const Candidate& first = access.candidates.front();
        Target target{name_of(found, first.mount, first.reach), named.type, device, depth.level};
        target.candidates = std::move(access.candidates);
        target.stat_devices = stat_devices;
        target.can_freeze = !listed(unfreezable_types, named.type);
        target.budget = budget_of(device, found);
        plan_.targets.push_back(std::move(target));
        return {};
    }

    /// Superblocks that no mount table shows: lazily unmounted, but still in use and written.
    void add_detached() {
        for (const auto& [device, type] : facts_.live) {
            if (superblocks_.contains(device) || !facts_.devices.contains(device)) continue;
            const std::string name =
                "/dev/" + facts_.devices.at(device).name + " (mounted nowhere)";
            const auto handle = std::ranges::find(scan_.handles, device, &Handle::device);
            const DeviceStack::Depth depth = stack_.depth(device);
            if (handle == scan_.handles.end() || !depth.problem.empty()) {
                const std::string note =
                    depth.problem.empty() ? "unmounted, but still in use" : depth.problem;
                plan_.uncovered.push_back({name, type, device, false, note});
                continue;
            }
            Mount mount;
            mount.device = device;
            mount.point = handle->path;
            mount.type = type;
            Target target{name, type, device, depth.level};
            target.candidates = {{mount, Candidate::Reach::handle}};
            target.stat_devices = {device};
            target.budget = rules_.mount_budget;
            plan_.targets.push_back(std::move(target));
        }
    }

    void name_listeners() {
        std::set<DeviceId> frozen;
        for (const Target& target : plan_.targets) frozen.insert(target.device);
        for (Target& target : plan_.targets) {
            const Listener* listener =
                predict_hang(scan_.listeners, target.device, frozen, mount_devices_);
            if (listener == nullptr) continue;
            target.listener = listener->process + " (pid " + std::to_string(listener->pid) + ")";
            const bool shorter =
                target.budget == os::Nanoseconds::zero() || target.budget > listener_budget_max;
            if (shorter) target.budget = listener_budget_max;
        }
    }

    /// Told apart where two filesystems have one mount point.
    static std::string name_of(const Found& found, const Mount& mount, Candidate::Reach reach) {
        if (reach == Candidate::Reach::hidden) return mount.point + " (hidden)";
        if (found.elsewhere == nullptr) return mount.point;
        return mount.point + " (in " + found.elsewhere->process + ", pid " +
               std::to_string(found.elsewhere->pid) + ")";
    }

    Uncovered& leave(DeviceId device, const Found& found, std::string note) {
        const Mount& mount = *found.mounts.front();
        plan_.uncovered.push_back({name_of(found, mount, Candidate::Reach::path), mount.type,
                                   device, false, std::move(note)});
        return plan_.uncovered.back();
    }

    bool left_out(DeviceId device, const Found& found) {
        const bool included = rules_.include.empty() || any_match(rules_.include, device, found);
        return any_match(rules_.exclude, device, found) || !included;
    }

    bool any_match(const std::vector<Pattern>& rules, DeviceId device, const Found& found) {
        bool any = false;
        for (const Pattern& rule : rules) {
            if (!matches(rule, found.mounts, identity(device))) continue;
            matched_.insert(&rule);
            any = true;
        }
        return any;
    }

    [[nodiscard]] os::Nanoseconds budget_of(DeviceId device, const Found& found) const {
        const auto rule = std::ranges::find_if(rules_.budgets, [&](const MountBudget& entry) {
            return matches(entry.which, found.mounts, identity(device));
        });
        return rule == rules_.budgets.end() ? rules_.mount_budget : rule->budget;
    }

    [[nodiscard]] Identity identity(DeviceId device) const {
        const auto known = facts_.identities.find(device);
        return known == facts_.identities.end() ? Identity{} : known->second;
    }

    const MountTable& mounts_;
    const FreezeRules& rules_;
    const SysfsFacts& facts_;
    const ProcessScan& scan_;
    DeviceStack stack_;
    Superblocks superblocks_;
    std::map<int, DeviceId> mount_devices_;
    FreezePlan plan_;
    std::set<const Pattern*> matched_;
};

}  // namespace

Backing backing_of(const Mount& mount) {
    if (mount.type.starts_with("fuse")) return Backing::user_space;
    if (listed(network_types, mount.type)) return Backing::network;
    if (listed(anonymous_block_types, mount.type)) return Backing::anonymous_block;
    return mount.device.major != 0 ? Backing::block : Backing::none;
}

Result<FreezePlan> plan_freeze(const MountTable& mounts, const SysfsFacts& facts,
                               const FreezeRules& rules, const ProcessScan& scan) {
    return Planner{mounts, facts, rules, scan}.run();
}

}  // namespace stillpoint::linux_guest
