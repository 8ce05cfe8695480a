// A VM that is off: what binds its chain when less is known of it, and what its level may be.
#include <doctest/doctest.h>

#include "route/decide.hpp"
#include "route/verdict.hpp"

using namespace stillpoint;
using namespace stillpoint::route;
using hypervisor::BitmapState;
using hypervisor::DiskInfo;
using serialization::DiskMode;
using serialization::Level;

namespace {

constexpr const char* vault_id = "0badcafe";
const vault::PointId old_id = "01900000000070008000000000000001";
const vault::PointId new_id = "01900000000070008000000000000002";

DiskInfo disk(const std::string& serial) {
    DiskInfo info;
    info.name = "vda";
    info.path = "/srv/vda.qcow2";
    info.format = "qcow2";
    info.serial = serial;
    info.size = ByteCount{1u << 30};
    info.persistent_bitmaps = true;
    info.bitmaps = {{bitmap_name(vault_id, old_id), BitmapState::usable, true, 65536}};
    return info;
}

DiskInfo bare_image() {
    DiskInfo info = disk("");
    info.serial_known = false;
    return info;
}

hypervisor::VmInfo vm_with(DiskInfo info, const std::string& uuid) {
    hypervisor::VmInfo vm;
    vm.name = "web1";
    vm.uuid = uuid;
    vm.uuid_known = info.serial_known;
    vm.disks = {std::move(info)};
    return vm;
}

/// A point as the route would have made it of this decision.
vault::Point point_of(const hypervisor::VmInfo& vm, const DiskInfo& info) {
    vault::Point point{.id = old_id,
                       .vm_name = vm.name,
                       .vm_uuid = vm.uuid,
                       .disks = {{info.name, info.size, {}}},
                       .document = {}};
    PointDocument document;
    document.uuid_known = vm.uuid_known || !vm.uuid.empty();
    document.disks.push_back({.name = info.name,
                              .identity = info.identity(),
                              .path = info.path,
                              .format = info.format,
                              .serial = info.serial,
                              .serial_known = info.serial_known,
                              .size = info.size.raw()});
    point.document = encode_point_document(document);
    return point;
}

DiskDecision decide(const hypervisor::VmInfo& vm, const vault::Point& point) {
    const auto decisions = decide_disks({.vm = vm,
                                         .history = find_history(vm, {point}),
                                         .vault_short_id = vault_id,
                                         .point_id = new_id,
                                         .wanted_disks = {}});
    REQUIRE(decisions);
    REQUIRE(decisions->disks.size() == 1);
    return decisions->disks[0];
}

Level level_of(hypervisor::VmState state, bool clean) {
    hypervisor::VmInfo vm;
    vm.state = state;
    vm.clean_shutdown = clean;
    return judge({}, {}, vm).level;
}

}  // namespace

TEST_CASE("route/off: a bare image continues the chain of its VM and passes on what it knew") {
    const auto running = vm_with(disk("S1"), "1111");
    const auto off = vm_with(bare_image(), "");
    const DiskDecision decision = decide(off, point_of(running, running.disks[0]));
    CHECK(decision.mode == DiskMode::increment);
    CHECK(decision.disk.serial == "S1");
    CHECK(decision.disk.serial_known);
    CHECK(decision.disk.identity() == running.disks[0].identity());
    CHECK(uuid_of(off, find_history(off, {point_of(running, running.disks[0])})) == "1111");
}

TEST_CASE("route/off: after an image whose serial was passed on, another serial is another disk") {
    auto off = vm_with(bare_image(), "1111");
    off.disks[0].serial = "S1";
    off.disks[0].serial_known = true;
    const auto point = point_of(off, off.disks[0]);
    CHECK(decide(vm_with(disk("S1"), "1111"), point).mode == DiskMode::increment);
    CHECK(decide(vm_with(disk("S2"), "1111"), point).mode == DiskMode::compare);
}

TEST_CASE("route/off: a chain that began with a bare image goes on when the VM runs") {
    const auto off = vm_with(bare_image(), "");
    const auto point = point_of(off, off.disks[0]);
    CHECK(decide(vm_with(disk("S1"), "1111"), point).mode == DiskMode::increment);
    CHECK(decide(off, point).mode == DiskMode::increment);
}

TEST_CASE("route/off: an unknown serial excuses nothing else") {
    const auto running = vm_with(disk("S1"), "1111");
    const auto point = point_of(running, running.disks[0]);
    DiskInfo moved = bare_image();
    moved.format = "raw";
    CHECK(decide(vm_with(moved, ""), point).mode == DiskMode::compare);
    moved = bare_image();
    moved.bitmaps.clear();
    CHECK(decide(vm_with(moved, ""), point).mode == DiskMode::compare);
    moved = bare_image();
    moved.path = "/elsewhere/vda.qcow2";
    CHECK(decide(vm_with(moved, ""), point).mode == DiskMode::full);  // not even the same VM
}

TEST_CASE("route/off: a disk that cannot be read is skipped with its reason, never silently") {
    auto vm = vm_with(disk("S1"), "1111");
    vm.disks.push_back(disk("S2"));
    vm.disks[1].name = "vdb";
    vm.disks[1].unreadable = "it is encrypted";
    DecideInput input{.vm = vm,
                      .history = {},
                      .vault_short_id = vault_id,
                      .point_id = new_id,
                      .wanted_disks = {}};
    const auto decisions = decide_disks(input);
    REQUIRE(decisions);
    CHECK(decisions->disks.size() == 1);
    CHECK(decisions->skipped == std::vector<std::string>{"vdb: it is encrypted"});
    input.wanted_disks = {"vdb"};
    CHECK(decide_disks(input).error().id == "image.unreadable");
    input.wanted_disks = {"vda"};
    CHECK(decide_disks(input)->skipped.empty());
}

TEST_CASE("route/off: offline needs the proof of a clean shutdown, else it is crash") {
    CHECK(level_of(hypervisor::VmState::shut_off, true) == Level::offline);
    CHECK(level_of(hypervisor::VmState::shut_off, false) == Level::crash);
    CHECK(level_of(hypervisor::VmState::running, true) == Level::crash);
}
