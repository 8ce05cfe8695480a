#include "hypervisor/qmp/session.hpp"

#include <doctest/doctest.h>

#include "hypervisor/qmp/actions.hpp"

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::qmp;

namespace {

const Monitor qemu_7_2{"/run/qmp.sock", "web1", 42, {7, 2, 22}};

DeviceFacts device(const std::string& name) {
    DeviceFacts facts;
    facts.disk = name;
    facts.qdev = name;
    facts.device_path = "/machine/peripheral/" + name;
    facts.root = "top-" + name;
    facts.source.name = "n-" + name;
    facts.source.size = ByteCount{1u << 20};
    facts.source.persistent_bitmaps = true;
    facts.source.bitmaps = {{"old", BitmapState::usable, true, 32768},
                            {"dead", BitmapState::inconsistent, true, 65536}};
    return facts;
}

SnapshotPlan plan(const std::string& parent) {
    SnapshotPlan wanted;
    wanted.job_folder = "/jobs/1";
    wanted.disks = {{"vda", parent, "new"}, {"vdb", "", "new"}};
    return wanted;
}

Result<Session> planned(const std::vector<DeviceFacts>& devices, const Monitor& monitor = qemu_7_2,
                        const std::string& parent = "old", ModeChoice choice = ModeChoice::safest) {
    return plan_session(devices, plan(parent), monitor, choice, "0123abcd");
}

const std::vector<DeviceFacts> two{device("vda"), device("vdb")};

std::vector<std::string> kinds(const Session& session) {
    std::vector<std::string> names;
    for (const auto& action : instant_actions(session)) names.push_back(action.text_or("type"));
    return names;
}

}  // namespace

TEST_CASE("qmp/session: filters where every device takes one, else jobs with the reason") {
    CHECK(planned(two)->mode == Mode::copy_before_write);
    CHECK(planned(two)->mode_reason.empty());
    Monitor older = qemu_7_2;
    older.version = {7, 0, 0};
    CHECK(planned(two, older)->mode == Mode::backup_job);
    CHECK(planned(two, older)->mode_reason.find("7.0.0") != std::string::npos);
    auto one_without = two;
    one_without[1].device_path.clear();
    CHECK(planned(one_without)->mode == Mode::backup_job);
    CHECK(planned(one_without)->mode_reason.find("vdb") != std::string::npos);
    CHECK(planned(two, qemu_7_2, "old", ModeChoice::only_backup_job)->mode == Mode::backup_job);
    older.version = {5, 2, 0};
    CHECK(planned(two, older).error().id == "qmp.too_old");
}

TEST_CASE("qmp/session: disks in iothreads only where QEMU survives the reader") {
    auto threaded = two;
    threaded[0].iothread = "/objects/io0";
    CHECK(planned(threaded).error().id == "qmp.iothread");
    Monitor newer = qemu_7_2;
    newer.version = {8, 2, 2};
    CHECK(planned(threaded, newer));
    newer.version = {8, 2, 1};
    CHECK_FALSE(planned(threaded, newer));
}

TEST_CASE("qmp/session: a parent must be usable on the active layer") {
    CHECK(planned(two, qemu_7_2, "dead").error().id == "qmp.parent_bitmap");
    CHECK(planned(two, qemu_7_2, "absent").error().id == "qmp.parent_bitmap");
    CHECK(planned({device("vda")}).error().id == "vm.no_such_disk");
    CHECK(planned(two)->disks[0].granularity_bytes == 32768);
}

TEST_CASE("qmp/session: node names fit QEMU's 31 bytes and are the run's own") {
    const auto disk = planned(two)->disks[1];
    for (const auto& name :
         {disk.scratch_node, disk.scratch_file_node, disk.filter_node, disk.probe_node}) {
        CHECK(name.size() <= 31 - 2);  // room for a three-digit disk number
        CHECK(name.find("0123abcd-1") != std::string::npos);
    }
}

TEST_CASE("qmp/session: the keeper's document is the session") {
    const Session session = *planned(two);
    const auto document = serialization::to_value(session);
    const auto json = serialization::parse_json(to_json(document));
    const auto again = serialization::from_value<Session>(*json, "document");
    REQUIRE(again);
    CHECK(serialization::to_value(*again) == document);
    CHECK(again->driver == "qmp");
    CHECK(again->nbd_socket == "/jobs/1/qmp/nbd.sock");
}

TEST_CASE("qmp/session: the instant adds bitmaps and never touches the parent (I2)") {
    const Session with_filters = *planned(two);
    CHECK(kinds(with_filters) ==
          std::vector<std::string>{"block-dirty-bitmap-add", "block-dirty-bitmap-merge",
                                   "block-dirty-bitmap-add", "block-dirty-bitmap-add"});
    const Session with_jobs = *planned(two, qemu_7_2, "old", ModeChoice::only_backup_job);
    CHECK(kinds(with_jobs).size() == 6);
    CHECK(kinds(with_jobs).back() == "blockdev-backup");
    const auto actions = instant_actions(with_filters);
    CHECK(actions[0].find("data")->boolean_or("disabled", false));
    CHECK(actions[0].find("data")->text_or("node") == with_filters.disks[0].scratch_node);
    CHECK(actions[2].find("data")->text_or("name") == "new");
    CHECK(actions[2].find("data")->boolean_or("persistent", false));
}

TEST_CASE("qmp/session: the scratch backs onto the node that is copied from") {
    const Session session = *planned(two);
    const SessionDisk& disk = session.disks[0];
    CHECK(*scratch_node(disk, Mode::copy_before_write)["backing"].text() == disk.root);
    CHECK(*filter_node(disk)["file"].text() == disk.root);
    CHECK(*filter_node(disk)["on-cbw-error"].text() == "break-snapshot");
    CHECK(*filter_node(disk)["discard"].text() == "unmap");
    CHECK(*scratch_node(disk, Mode::backup_job)["backing"].text() == disk.source);
    CHECK(*view_export(disk)["node-name"].text() == disk.scratch_node);
    CHECK(view_export(session.disks[1]).count("bitmaps") == 0);
}
