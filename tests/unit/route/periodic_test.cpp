#include <doctest/doctest.h>

#include <map>

#include "route/decide.hpp"

using namespace stillpoint;
using namespace stillpoint::route;
using serialization::DiskMode;

namespace {

constexpr const char* vault_id = "0badcafe";
const vault::PointId old_id = "01900000000070008000000000000001";
const vault::PointId new_id = "01900000000070008000000000000002";
constexpr std::int64_t day_ns = 86'400'000'000'000;

/// A VM with one disk whose bitmap is what the last point left.
hypervisor::VmInfo tracked_vm(const std::string& uuid) {
    hypervisor::DiskInfo disk;
    disk.name = "vda";
    disk.path = "/images/vda.qcow2";
    disk.format = "qcow2";
    disk.size = ByteCount{1u << 30};
    disk.bitmaps = {{bitmap_name(vault_id, old_id), hypervisor::BitmapState::usable, true, 65536}};
    hypervisor::VmInfo vm;
    vm.name = "web1";
    vm.uuid = uuid;
    vm.disks = {disk};
    return vm;
}

struct LastSeen {
    std::int64_t point_days = 1000;      // when the last point was made
    std::int64_t read_whole_days = 990;  // 0: a point of an older version, which does not tell
    std::uint64_t increments = 9;
};

/// Decides on day `today` for a disk whose tracking looks fine.
DiskDecision decide_on(std::int64_t today, const hypervisor::VmInfo& vm, const LastSeen& seen,
                       const ComparePolicy& policy) {
    const hypervisor::DiskInfo& disk = vm.disks[0];
    Parent parent;
    parent.point.id = old_id;
    parent.point.disks = {{disk.name, disk.size, {}}};
    parent.document.time_ns = seen.point_days * day_ns;
    parent.document.disks = {{.name = disk.name,
                              .identity = disk.identity(),
                              .reason = {},
                              .size = disk.size.raw(),
                              .read_whole_ns = seen.read_whole_days * day_ns,
                              .increments = seen.increments,
                              .audit = {}}};
    const auto decisions = decide_disks({.vm = vm,
                                         .history = {parent},
                                         .vault_short_id = vault_id,
                                         .point_id = new_id,
                                         .wanted_disks = {},
                                         .compare = policy,
                                         .now_ns = today * day_ns});
    REQUIRE(decisions);
    CHECK(decisions->orphans.empty());  // the parent's bitmap stays until the point is durable
    CHECK(decisions->disks[0].parent_bitmap == bitmap_name(vault_id, old_id));
    return decisions->disks[0];
}

DiskDecision decide_later(const LastSeen& seen, const ComparePolicy& policy, std::int64_t today) {
    return decide_on(today, tracked_vm("11111111-2222-3333-4444-555555555555"), seen, policy);
}

}  // namespace

TEST_CASE(
    "route/periodic: a disk is compared in full once tracking alone was believed long enough") {
    const ComparePolicy monthly{.age = std::chrono::days{30}};
    const auto early = decide_later({}, monthly, 990 + 22);
    CHECK(early.mode == DiskMode::increment);
    CHECK(early.read_whole_ns == 990 * day_ns);
    CHECK(early.increments == 10);
    const auto due = decide_later({}, monthly, 990 + 30);
    CHECK(due.mode == DiskMode::compare);
    CHECK(due.reason == "periodic compare: the disk was last read in full 30 days ago");
    CHECK(due.parent_root);
    CHECK(decide_later({}, {.age = std::chrono::days{0}}, 9999).mode == DiskMode::increment);
}

TEST_CASE("route/periodic: a point of an older version counts from its own time") {
    const ComparePolicy monthly{.age = std::chrono::days{30}};
    const LastSeen old{.point_days = 1000, .read_whole_days = 0, .increments = 0};
    CHECK(decide_later(old, monthly, 1010).mode == DiskMode::increment);
    CHECK(decide_later(old, monthly, 1010).read_whole_ns == 1000 * day_ns);
    CHECK(decide_later(old, monthly, 1030).mode == DiskMode::compare);
}

TEST_CASE("route/periodic: a time that a wrong clock wrote puts no compare off") {
    const ComparePolicy monthly{.age = std::chrono::days{30}};
    CHECK(decide_later({.read_whole_days = 5000}, monthly, 1001).mode == DiskMode::compare);
    CHECK(decide_later({.read_whole_days = 1001}, monthly, 1001).mode == DiskMode::increment);
}

TEST_CASE("route/periodic: every N-th increment is a compare when asked for") {
    const ComparePolicy tenth{.age = std::chrono::days{0}, .increments = 10};
    CHECK(decide_later({.increments = 9}, tenth, 5000).mode == DiskMode::increment);
    const auto due = decide_later({.increments = 10}, tenth, 5000);
    CHECK(due.mode == DiskMode::compare);
    CHECK(due.reason == "periodic compare: 10 increments since the disk was last read in full");
}

TEST_CASE("route/periodic: disks first backed up on one day are not all compared on one day") {
    const ComparePolicy monthly{.age = std::chrono::days{30}};
    std::map<std::int64_t, int> due_on;
    for (int number = 0; number < 300; ++number) {
        const auto vm = tracked_vm("machine-" + std::to_string(number));
        std::int64_t day = 20;
        while (decide_on(990 + day, vm, {}, monthly).mode != DiskMode::compare) ++day;
        ++due_on[day];
    }
    CHECK(due_on.begin()->first >= 23);  // never in the first three quarters
    CHECK(due_on.rbegin()->first <= 30);
    for (const auto& [day, count] : due_on) CHECK(count < 80);
}
