#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "freeze/mountinfo.hpp"
#include "freeze/sysfs_facts.hpp"

namespace stillpoint::linux_guest {

/// The device stack between superblocks; answers how deep each one sits. Pure.
class DeviceStack {
public:
    DeviceStack(const MountTable& mounts, const SysfsFacts& facts)
        : mounts_(mounts), facts_(facts) {}

    struct Depth {
        int level = 0;        // 0: no loop device below
        std::string problem;  // not empty: this filesystem must be left alone
    };
    [[nodiscard]] Depth depth(DeviceId superblock);
    /// Every block device the superblock uses, whatever the number of layers.
    [[nodiscard]] std::set<DeviceId> devices_of(DeviceId superblock) const;
    /// Device-mapper holds one of its devices back.
    [[nodiscard]] bool suspended(DeviceId superblock) const;

private:
    void add_stack(DeviceId device, std::set<DeviceId>& all) const;
    Depth below_loop(DeviceId device);
    [[nodiscard]] std::optional<DeviceId> superblock_at(std::string_view path, int overlays) const;

    const MountTable& mounts_;
    const SysfsFacts& facts_;
    std::map<DeviceId, Depth> known_;
    std::set<DeviceId> under_way_;
};

}  // namespace stillpoint::linux_guest
