#include "freeze/device_stack.hpp"

#include <algorithm>

namespace stillpoint::linux_guest {
namespace {

constexpr int overlay_depth_max = 8;
constexpr std::string_view deleted_suffix = " (deleted)";

}  // namespace

DeviceStack::Depth DeviceStack::depth(DeviceId superblock) {
    if (const auto known = known_.find(superblock); known != known_.end()) return known->second;
    if (!under_way_.insert(superblock).second) return {0, "its devices are stacked in a circle"};
    Depth result;
    for (const DeviceId device : devices_of(superblock)) {
        const Depth below = below_loop(device);
        result.level = std::max(result.level, below.level);
        if (result.problem.empty()) result.problem = below.problem;
    }
    under_way_.erase(superblock);
    return known_[superblock] = result;
}

std::set<DeviceId> DeviceStack::devices_of(DeviceId superblock) const {
    std::set<DeviceId> all;
    const auto members = facts_.members.find(superblock);
    if (members == facts_.members.end()) {
        add_stack(superblock, all);
    } else {
        for (const DeviceId member : members->second) add_stack(member, all);
    }
    return all;
}

bool DeviceStack::suspended(DeviceId superblock) const {
    return std::ranges::any_of(devices_of(superblock), [&](DeviceId device) {
        return facts_.devices.at(device).suspended;
    });
}

void DeviceStack::add_stack(DeviceId device, std::set<DeviceId>& all) const {
    const auto found = facts_.devices.find(device);
    if (found == facts_.devices.end() || !all.insert(device).second) return;
    for (const DeviceId below : found->second.below) add_stack(below, all);
}

DeviceStack::Depth DeviceStack::below_loop(DeviceId device) {
    const auto& file = facts_.devices.at(device).backing_file;
    if (!file) return {};
    std::string_view path = *file;
    if (path.ends_with(deleted_suffix)) path.remove_suffix(deleted_suffix.size());
    const auto holder = superblock_at(path, 0);
    if (!holder) return {0, "the file " + *file + " behind its loop device cannot be located"};
    const Depth below = depth(*holder);
    return {below.level + 1, below.problem};
}

std::optional<DeviceId> DeviceStack::superblock_at(std::string_view path, int overlays) const {
    const auto walked = mounts_.walk(path);
    if (walked.empty()) return std::nullopt;
    const Mount& mount = *walked.back();
    if (mount.type != "overlay") return mount.device;
    // What is written to an overlay lands on the filesystem of its upper folder.
    const auto upper = mount.super_option("upperdir");
    if (!upper || overlays >= overlay_depth_max) return std::nullopt;
    return superblock_at(*upper, overlays + 1);
}

}  // namespace stillpoint::linux_guest
