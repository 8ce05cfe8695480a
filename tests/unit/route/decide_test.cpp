#include "route/decide.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::route;
using hypervisor::BitmapInfo;
using hypervisor::BitmapState;
using hypervisor::DiskInfo;
using serialization::DiskMode;

namespace {

constexpr const char* vault_id = "0badcafe";
const vault::PointId old_id = "01900000000070008000000000000001";
const vault::PointId new_id = "01900000000070008000000000000002";

DiskInfo disk(const std::string& name) {
    DiskInfo info;
    info.name = name;
    info.path = "/images/" + name + ".qcow2";
    info.format = "qcow2";
    info.serial = "S-" + name;
    info.size = ByteCount{1u << 30};
    info.persistent_bitmaps = true;
    info.transient_bitmaps = true;
    return info;
}

BitmapInfo bitmap(const vault::PointId& point, BitmapState state = BitmapState::usable) {
    return {bitmap_name(vault_id, point), state, true, 65536};
}

hypervisor::VmInfo vm_with(std::vector<DiskInfo> disks) {
    hypervisor::VmInfo vm;
    vm.name = "web1";
    vm.uuid = "11111111-2222-3333-4444-555555555555";
    vm.disks = std::move(disks);
    return vm;
}

vault::Point point_of(const vault::PointId& id, const hypervisor::VmInfo& vm) {
    vault::Point point{
        .id = id, .vm_name = vm.name, .vm_uuid = vm.uuid, .disks = {}, .document = {}};
    PointDocument document;
    for (const DiskInfo& info : vm.disks) {
        point.disks.push_back({info.name, info.size, {}});
        document.disks.push_back({.name = info.name,
                                  .identity = info.identity(),
                                  .path = info.path,
                                  .format = info.format,
                                  .serial = info.serial,
                                  .new_bitmap = bitmap_name(vault_id, id),
                                  .size = info.size.raw()});
    }
    point.document = encode_point_document(document);
    return point;
}

DecideInput input_for(const hypervisor::VmInfo& vm, const std::vector<vault::Point>& points) {
    return {.vm = vm,
            .history = find_history(vm, points),
            .vault_short_id = vault_id,
            .point_id = new_id,
            .wanted_disks = {}};
}

/// Decides for one disk that looked like `before` at the last point and like `now` today.
DiskDecision decide_one(const DiskInfo& before, const DiskInfo& now) {
    const auto vm = vm_with({now});
    const auto decisions = decide_disks(input_for(vm, {point_of(old_id, vm_with({before}))}));
    REQUIRE(decisions);
    REQUIRE(decisions->disks.size() == 1);
    return decisions->disks[0];
}

}  // namespace

TEST_CASE("route/decide: the first backup is full and says so") {
    const auto vm = vm_with({disk("vda")});
    const auto decisions = decide_disks(input_for(vm, {}));
    REQUIRE(decisions);
    CHECK(decisions->disks[0].mode == DiskMode::full);
    CHECK(decisions->disks[0].reason == "first backup of this VM in this vault");
    CHECK(decisions->disks[0].new_bitmap == "stillpoint-0badcafe-" + new_id);
    CHECK_FALSE(decisions->disks[0].parent_root);
}

TEST_CASE("route/decide: a usable bitmap of the newest point gives an increment") {
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id)};
    const auto decision = decide_one(disk("vda"), now);
    CHECK(decision.mode == DiskMode::increment);
    CHECK(decision.reason.empty());
    CHECK(decision.parent_bitmap == bitmap_name(vault_id, old_id));
    CHECK(decision.parent_point == old_id);
}

TEST_CASE("route/decide: disks of the parent point whose bitmap has the same name are known") {
    auto vda = disk("vda"), vdb = disk("vdb"), raw = disk("vdc");
    const auto before = vm_with({vda, vdb, raw});
    auto point = point_of(old_id, before);
    auto document = decode_point_document(point.document).value();
    document.disks[2].new_bitmap.clear();
    point.document = encode_point_document(document);
    vda.bitmaps = {bitmap(old_id)};
    const auto decisions = decide_disks(input_for(vm_with({vda}), {point}));
    REQUIRE(decisions);
    const auto& namesakes = decisions->disks[0].namesakes;
    REQUIRE(namesakes.size() == 1);  // although vdb is gone: its image may be vda's now
    CHECK(namesakes[0].disk == "vdb");
}

TEST_CASE(
    "route/decide: unknown is never unchanged: each doubt means compare, with its reason (I3)") {
    DiskInfo before = disk("vda");
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id)};
    std::string expected;
    SUBCASE("no bitmap") {
        now.bitmaps.clear();
        expected =
            "the dirty bitmap of the last point is gone: QEMU was not shut down cleanly, or "
            "somebody removed it";
    }
    SUBCASE("an earlier bitmap instead") {
        now.bitmaps = {bitmap("01900000000070008000000000000000")};
        expected =
            "the dirty bitmap of the last point is gone, an earlier one is there: the image was "
            "put back to an older state";
    }
    SUBCASE("an earlier bitmap instead, inconsistent") {
        now.bitmaps = {bitmap("01900000000070008000000000000000", BitmapState::inconsistent)};
        expected = "the dirty bitmap of the last point is gone: QEMU was not shut down cleanly";
    }
    SUBCASE("a later bitmap and another vault's say nothing") {
        now.bitmaps = {bitmap(new_id), {"stillpoint-00000000-0", BitmapState::usable, true, 65536}};
        expected =
            "the dirty bitmap of the last point is gone: QEMU was not shut down cleanly, or "
            "somebody removed it";
    }
    SUBCASE("no bitmap on raw") {
        now.bitmaps.clear();
        now.persistent_bitmaps = false;
        now.format = "raw";
        before.format = "raw";
        expected = "no dirty bitmap: raw images keep none while QEMU is off";
    }
    SUBCASE("no bitmap on the qcow2 of old") {
        now.bitmaps.clear();
        now.persistent_bitmaps = false;
        expected =
            "no dirty bitmap: qcow2 images of version 2 (compat=0.10) keep none while QEMU is off";
    }
    SUBCASE("no bitmap on an empty disk") {
        now.bitmaps.clear();
        before.size = now.size = ByteCount{0};
        expected = "no dirty bitmap: an empty disk keeps none while QEMU is off";
    }
    SUBCASE("inconsistent") {
        now.bitmaps[0].state = BitmapState::inconsistent;
        expected = "the dirty bitmap is inconsistent: QEMU was not shut down cleanly";
    }
    SUBCASE("switched off") {
        now.bitmaps[0].state = BitmapState::disabled;
        expected = "the dirty bitmap does not record: somebody switched it off";
    }
    const auto decision = decide_one(before, now);
    CHECK(decision.mode == DiskMode::compare);
    CHECK(decision.reason == expected);
    CHECK(decision.parent_root);
    CHECK(decision.parent_bitmap.empty());
}

TEST_CASE("route/decide: a disk that is not what it was is compared, and said how (I3)") {
    const DiskInfo before = disk("vda");
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id)};
    std::string expected;
    SUBCASE("shrunk") {
        now.size = ByteCount{1u << 29};
        expected = "the disk shrank from 1073741824 bytes";
    }
    SUBCASE("another file under the same name") {
        now.path = "/images/other.qcow2";
        expected =
            "the disk was replaced: it was /images/vda.qcow2 (qcow2) and is /images/other.qcow2 "
            "(qcow2)";
    }
    SUBCASE("another format") {
        now.format = "raw";
        expected = "the disk was replaced: its format was qcow2 and is raw";
    }
    SUBCASE("another serial") {
        now.serial = "S-other";
        expected = "the disk was replaced: its serial number was S-vda and is S-other";
    }
    SUBCASE("no serial any more") {
        now.serial.clear();
        expected = "the disk was replaced: its serial number was S-vda and is none";
    }
    const auto decision = decide_one(before, now);
    CHECK(decision.mode == DiskMode::compare);
    CHECK(decision.reason == expected);
    CHECK(decision.parent_root);
    CHECK(decision.parent_bitmap.empty());
}

TEST_CASE("route/decide: a disk that can have no bitmap is compared, and spoils no other's") {
    DiskInfo vda = disk("vda");
    vda.bitmaps = {bitmap(old_id)};
    DiskInfo vdb = disk("vdb");
    vdb.format = "raw";
    vdb.persistent_bitmaps = vdb.transient_bitmaps = false;
    const auto vm = vm_with({vda, vdb});
    const auto decisions = decide_disks(input_for(vm, {point_of(old_id, vm)}));
    REQUIRE(decisions);
    CHECK(decisions->disks[0].mode == DiskMode::increment);
    CHECK_FALSE(decisions->disks[0].new_bitmap.empty());
    CHECK(decisions->disks[1].mode == DiskMode::compare);
    CHECK(decisions->disks[1].reason ==
          "no dirty bitmap: this hypervisor keeps none for raw images");
    CHECK(decisions->disks[1].new_bitmap.empty());
}

TEST_CASE("route/decide: a grown disk stays an increment; its tail is the reader's business") {
    DiskInfo now = disk("vda");
    now.size = ByteCount{2u << 30};
    now.bitmaps = {bitmap(old_id)};
    CHECK(decide_one(disk("vda"), now).mode == DiskMode::increment);
}

TEST_CASE("route/decide: one new disk does not spoil the others") {
    DiskInfo vda = disk("vda");
    vda.bitmaps = {bitmap(old_id)};
    const auto vm = vm_with({vda, disk("vdb")});
    const auto decisions = decide_disks(input_for(vm, {point_of(old_id, vm_with({disk("vda")}))}));
    REQUIRE(decisions);
    CHECK(decisions->disks[0].mode == DiskMode::increment);
    CHECK(decisions->disks[1].mode == DiskMode::full);
    CHECK(decisions->disks[1].reason == "the disk is new");
}

TEST_CASE(
    "route/decide: bitmaps of this vault that belong to no parent are orphans, others are not "
    "touched") {
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id),
                   bitmap("01900000000070008000000000000009"),
                   {"stillpoint-deadbeef-" + old_id, BitmapState::usable, true, 65536}};
    const auto vm = vm_with({now});
    const auto decisions = decide_disks(input_for(vm, {point_of(old_id, vm_with({disk("vda")}))}));
    REQUIRE(decisions);
    REQUIRE(decisions->orphans.contains("vda"));
    CHECK(decisions->orphans.at("vda") ==
          std::vector<std::string>{bitmap_name(vault_id, "01900000000070008000000000000009")});
}

TEST_CASE(
    "route/decide: an inconsistent bitmap is removed, also when it carries the parent's name") {
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id, BitmapState::inconsistent)};
    const auto vm = vm_with({now});
    const auto decisions = decide_disks(input_for(vm, {point_of(old_id, vm_with({disk("vda")}))}));
    REQUIRE(decisions);
    CHECK(decisions->orphans.at("vda").size() == 1);
}

TEST_CASE("route/decide: a disk's parent is the newest point that holds it") {
    const auto all = vm_with({disk("vda"), disk("vdb")});
    const auto only_a = vm_with({disk("vda")});
    const vault::PointId first = "01900000000070008000000000000000";
    DiskInfo vda = disk("vda");
    vda.bitmaps = {bitmap(old_id)};
    DiskInfo vdb = disk("vdb");
    vdb.bitmaps = {bitmap(first)};
    const auto vm = vm_with({vda, vdb});
    const auto decisions =
        decide_disks(input_for(vm, {point_of(first, all), point_of(old_id, only_a)}));
    REQUIRE(decisions);
    CHECK(decisions->disks[0].parent_bitmap == bitmap_name(vault_id, old_id));
    CHECK(decisions->disks[1].parent_bitmap == bitmap_name(vault_id, first));
    CHECK(decisions->orphans.empty());
}

TEST_CASE(
    "route/decide: a clone with another uuid shares no history, its copied bitmaps are orphans") {
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id)};
    auto clone = vm_with({now});
    clone.uuid = "99999999-2222-3333-4444-555555555555";
    const auto decisions =
        decide_disks(input_for(clone, {point_of(old_id, vm_with({disk("vda")}))}));
    REQUIRE(decisions);
    CHECK(decisions->disks[0].mode == DiskMode::full);
    CHECK(decisions->orphans.at("vda").size() == 1);
}

TEST_CASE(
    "route/decide: without a uuid label and image path bind the chain, a label alone does not") {
    auto before = vm_with({disk("vda")});
    before.uuid.clear();
    auto same = before;
    CHECK(find_history(same, {point_of(old_id, before)}).size() == 1);
    auto other = before;
    other.disks[0].path = "/elsewhere/vda.qcow2";
    CHECK(find_history(other, {point_of(old_id, before)}).empty());
}

TEST_CASE(
    "route/decide: names a disk that does not exist; a VM without writable disks is refused") {
    auto vm = vm_with({disk("vda")});
    auto input = input_for(vm, {});
    input.wanted_disks = {"vdz"};
    CHECK(decide_disks(input).error().id == "vm.no_such_disk");
    vm.disks[0].read_only = true;
    CHECK(decide_disks(input_for(vm, {})).error().id == "vm.no_disks");
}

TEST_CASE("route/decide: --full builds on nothing, but leaves the next increment its bitmap") {
    DiskInfo now = disk("vda");
    now.bitmaps = {bitmap(old_id)};
    const auto vm = vm_with({now});
    auto input = input_for(vm, {point_of(old_id, vm_with({disk("vda")}))});
    input.force_full = ForceFull::yes;
    const auto decisions = decide_disks(input);
    REQUIRE(decisions);
    CHECK(decisions->disks[0].mode == DiskMode::full);
    CHECK_FALSE(decisions->disks[0].parent_root);
    CHECK(decisions->disks[0].parent_bitmap.empty());
    // Should this backup fail, the parent is still good (I2); the next run removes it.
    CHECK(decisions->orphans.empty());
}
