#include "freeze/sysfs_facts.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "freeze/plan.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t attribute_bytes_max = 64u << 10;  // the kernel's own limit is a page

std::optional<std::string> attribute(const fs::path& path) {
    auto text = os::read_file(path.string(), attribute_bytes_max);
    if (!text) return std::nullopt;
    if (text->ends_with('\n')) text->pop_back();
    return *std::move(text);
}

std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator at{folder, error}, end; !error && at != end; at.increment(error)) {
        found.push_back(at->path());
    }
    std::ranges::sort(found);
    return found;
}

std::optional<DeviceId> device_of(const fs::path& folder) {
    const auto text = attribute(folder / "dev");
    return text ? DeviceId::parse(*text) : std::nullopt;
}

BlockDevice read_device(const fs::path& folder) {
    BlockDevice device;
    device.name = fs::path{os::read_link(folder.string()).value_or(folder.string())}.filename();
    device.backing_file = attribute(folder / "loop" / "backing_file");
    device.suspended = attribute(folder / "dm" / "suspended") == "1";
    for (const fs::path& slave : entries(folder / "slaves")) {
        if (const auto below = device_of(slave)) device.below.push_back(*below);
    }
    if (attribute(folder / "partition")) {
        if (const auto disk = device_of(folder / "..")) device.below.push_back(*disk);
    }
    return device;
}

void read_stack(const fs::path& sysfs, DeviceId device, SysfsFacts& facts) {
    const fs::path folder = sysfs / "dev" / "block" / device.text();
    std::error_code error;
    if (facts.devices.contains(device) || !fs::exists(folder, error)) return;
    const BlockDevice& read = facts.devices[device] = read_device(folder);
    for (const DeviceId below : std::vector<DeviceId>{read.below}) read_stack(sysfs, below, facts);
}

std::optional<DeviceId> node_device(const std::string& path) {
    struct stat node {};
    if (!path.starts_with("/dev/") || ::stat(path.c_str(), &node) != 0 || !S_ISBLK(node.st_mode)) {
        return std::nullopt;
    }
    return DeviceId{major(node.st_rdev), minor(node.st_rdev)};
}

/// The devices of the btrfs to which `source` belongs, from /sys/fs/btrfs/<uuid>/devices/<name>.
std::vector<DeviceId> btrfs_members(const fs::path& sysfs, const std::string& source) {
    const std::string name = fs::path{source}.filename();
    const auto number = node_device(source);
    for (const fs::path& filesystem : entries(sysfs / "fs" / "btrfs")) {
        std::vector<DeviceId> members;
        bool ours = false;
        for (const fs::path& entry : entries(filesystem / "devices")) {
            const auto device = device_of(entry);
            ours = ours || entry.filename() == name || (device && device == number);
            if (device) members.push_back(*device);
        }
        if (ours) return members;
    }
    return number ? std::vector{*number} : std::vector<DeviceId>{};
}

/// These drivers keep a folder for each superblock, named like its device.
void read_live(const fs::path& sysfs, SysfsFacts& facts) {
    for (const char* type : {"ext4", "xfs", "f2fs"}) {
        for (const fs::path& entry : entries(sysfs / "fs" / type)) {
            const auto device = device_of(sysfs / "class" / "block" / entry.filename());
            if (!device) continue;
            facts.live[*device] = type;
            read_stack(sysfs, *device, facts);
        }
    }
}

}  // namespace

SysfsFacts read_sysfs(const MountTable& mounts, const std::string& sysfs) {
    SysfsFacts facts;
    add_sysfs(facts, mounts, sysfs);
    read_live(sysfs, facts);
    return facts;
}

void add_sysfs(SysfsFacts& facts, const MountTable& mounts, const std::string& sysfs) {
    for (const Mount& mount : mounts.mounts()) {
        const Backing backing = backing_of(mount);
        if (backing == Backing::block) read_stack(sysfs, mount.device, facts);
        if (backing != Backing::anonymous_block || facts.members.contains(mount.device)) continue;
        if (mount.type != "btrfs") continue;
        facts.members[mount.device] = btrfs_members(sysfs, mount.source);
        for (const DeviceId member : facts.members[mount.device]) read_stack(sysfs, member, facts);
    }
}

}  // namespace stillpoint::linux_guest
