#include "freeze/sysfs_facts.hpp"

#include <doctest/doctest.h>

#include "freeze/freezer.hpp"
#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;

TEST_CASE("guest-linux/sysfs: the stack below each mount, as the kernel lays it out") {
    const test::TempFolder sys;
    // ext4 on dm-0 over a partition of loop0; btrfs on vdb and dm-1 (suspended).
    sys.file("devices/dm-0/dm/suspended", "0\n");
    sys.link("devices/dm-0/slaves/loop0p1", "../../loop0/loop0p1");
    sys.file("devices/loop0/loop0p1/dev", "259:0\n");
    sys.file("devices/loop0/loop0p1/partition", "1\n");
    sys.file("devices/loop0/dev", "7:0\n");
    sys.file("devices/loop0/loop/backing_file", "/srv/my disk.img\n");
    sys.file("devices/vdb/dev", "254:16\n");
    sys.file("devices/dm-1/dev", "253:1\n");
    sys.file("devices/dm-1/dm/suspended", "1\n");
    sys.link("dev/block/253:0", "../../devices/dm-0");
    sys.link("dev/block/259:0", "../../devices/loop0/loop0p1");
    sys.link("dev/block/7:0", "../../devices/loop0");
    sys.link("dev/block/254:16", "../../devices/vdb");
    sys.link("dev/block/253:1", "../../devices/dm-1");
    sys.link("fs/btrfs/0f0f/devices/vdb", "../../../../devices/vdb");
    sys.link("fs/btrfs/0f0f/devices/dm-1", "../../../../devices/dm-1");
    sys.file("fs/btrfs/features/devices/none", "");
    const auto mounts = MountTable::parse(
                            "1 0 253:0 / / rw - ext4 /dev/mapper/a rw\n"
                            "2 1 0:40 / /b rw - btrfs /dev/vdb rw\n"
                            "3 1 8:99 / /gone rw - ext4 /dev/sdz rw\n"
                            "4 1 0:41 / /t rw - tmpfs tmpfs rw\n")
                            .value();
    const SysfsFacts facts = read_sysfs(mounts, sys.path());
    const auto& devices = facts.devices;
    CHECK(devices.size() == 5);
    CHECK(devices.at({253, 0}).name == "dm-0");
    CHECK(devices.at({253, 0}).below == std::vector<DeviceId>{{259, 0}});
    CHECK(!devices.at({253, 0}).suspended);
    CHECK(devices.at({259, 0}).below == std::vector<DeviceId>{{7, 0}});
    CHECK(devices.at({7, 0}).backing_file == "/srv/my disk.img");
    CHECK(!devices.at({254, 16}).backing_file);
    CHECK(devices.at({253, 1}).suspended);
    CHECK(facts.members.at({0, 40}) == std::vector<DeviceId>{{253, 1}, {254, 16}});
    CHECK(!facts.members.contains({0, 41}));
}

TEST_CASE("guest-linux/freezer: writes and discards are counted, reads and flushes are not") {
    // Linux before 4.18, before 5.5 and since.
    CHECK(writes_in_stat(" 10 0 20 1  7 0 9 9 0 9 9\n") == 7);
    CHECK(writes_in_stat("10 0 20 1 7 0 9 9 0 9 9 3 0 8 1\n") == 10);
    CHECK(writes_in_stat("10 0 20 1 7 0 9 9 0 9 9 3 0 8 1 55 2\n") == 10);
    CHECK(!writes_in_stat("10 0 20 1\n"));
    CHECK(!writes_in_stat("10 0 x 1 7\n"));
    CHECK(!writes_in_stat(""));
}
