#include "hypervisor/image/session.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::image;
using serialization::Value;

namespace {

KnownDisk known(const std::string& name) {
    KnownDisk disk;
    disk.disk = {.name = name, .path = "/srv/" + name + ".qcow2", .format = "qcow2"};
    disk.facts.persistent_bitmaps = true;
    disk.facts.bitmaps = {{"stillpoint-1-n", BitmapState::usable, true, 65536},
                          {"stillpoint-1-x", BitmapState::inconsistent, true, 65536}};
    disk.stamp = {.files = {disk.disk.path}, .stamps = {env::FileStamp{}}};
    return disk;
}

SnapshotPlan plan_for(const std::string& disk, const std::string& parent) {
    return {.disks = {{disk, parent, "stillpoint-1-m"}}, .job_folder = "/jobs/1", .point_id = "m"};
}

SessionDisk planned(const KnownDisk& disk, const std::string& parent = "stillpoint-1-n") {
    const auto disks = plan_disks({disk}, plan_for(disk.disk.name, parent), {});
    REQUIRE(disks);
    REQUIRE(disks->size() == 1);
    return disks->front();
}

std::string text(const serialization::Map& map) {
    return to_json(Value{map});
}

}  // namespace

TEST_CASE("image/session: a disk that is not there, unreadable, or has no such parent is refused") {
    KnownDisk vda = known("vda");
    CHECK(plan_disks({vda}, plan_for("vdz", ""), {}).error().id == "vm.no_such_disk");
    CHECK(plan_disks({vda}, plan_for("vda", "stillpoint-1-x"), {}).error().id == "bitmap.unusable");
    CHECK(plan_disks({vda}, plan_for("vda", "stillpoint-1-y"), {}).error().id == "bitmap.unusable");
    vda.facts.unreadable = "it is encrypted";
    const auto refused = plan_disks({vda}, plan_for("vda", ""), {});
    CHECK(refused.error().id == "image.unreadable");
    CHECK(refused.error().text.find("vda") != std::string::npos);
}

TEST_CASE("image/session: a format without bitmaps gets none, orphans go with the new one") {
    KnownDisk raw = known("vda");
    raw.disk.format = "raw";
    raw.facts.persistent_bitmaps = false;
    raw.facts.bitmaps.clear();
    CHECK_FALSE(planned(raw, "").changes_bitmaps());
    const auto disks = plan_disks({known("vda")}, plan_for("vda", "stillpoint-1-n"),
                                  {{"vda", {"stillpoint-1-x"}}});
    REQUIRE(disks);
    CHECK(disks->front().new_bitmap == "stillpoint-1-m");
    CHECK(disks->front().retire == std::vector<std::string>{"stillpoint-1-x"});
}

TEST_CASE("image/session: the view is read only and takes no lock") {
    CHECK(text(view_node(planned(known("vda")))) ==
          R"({"driver":"qcow2","file":{"driver":"file","filename":"/srv/vda.qcow2"},)"
          R"("force-share":true,"node-name":"view-0","read-only":true})");
    CHECK(text(view_export(planned(known("vda")))).find(R"("bitmaps":["stillpoint-1-n"])") !=
          std::string::npos);
    CHECK(text(view_export(planned(known("vda"), ""))).find("bitmaps") == std::string::npos);
}

TEST_CASE("image/session: the edit node is the active layer alone, first read only, with a lock") {
    KnownDisk vda = known("vda");
    vda.facts.data_file = "/srv/vda.data";
    vda.stamp.files.push_back("/srv/vda.data");
    vda.stamp.stamps.push_back({.block_device = true});
    const SessionDisk disk = planned(vda);
    const auto nodes = edit_nodes(disk);
    REQUIRE(nodes.size() == 3);
    CHECK(text(nodes[0]) == R"({"auto-read-only":true,"driver":"file","filename":"/srv/vda.qcow2",)"
                            R"("node-name":"edit-0-file"})");
    CHECK(text(nodes[1]).find(R"("driver":"host_device")") != std::string::npos);
    CHECK(text(nodes[2]) ==
          R"({"backing":null,"data-file":"edit-0-data","driver":"qcow2","file":"edit-0-file",)"
          R"("node-name":"edit-0","read-only":true})");
    CHECK(text(edit_options(disk, Access::read_write)).find(R"("read-only":false)") !=
          std::string::npos);
}

TEST_CASE("image/session: the keeper's order survives its document") {
    const KeeperOrder order{.label = "web1", .folder = "/jobs/1/image"};
    const auto back =
        serialization::from_value<KeeperOrder>(serialization::to_value(order), "order");
    REQUIRE(back);
    CHECK(back->driver == "image");
    CHECK(back->daemon_file() == "/jobs/1/image/daemon");
}
