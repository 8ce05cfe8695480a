#include "freeze/mountinfo.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::linux_guest;

namespace {

constexpr std::string_view table_text =
    "1 1 0:2 / / rw - rootfs rootfs rw\n"
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    "23 22 0:21 / /proc rw,nosuid shared:5 master:2 - proc proc rw\n"
    "30 22 254:16 / /mnt/a\\040b rw - xfs /dev/vdb rw,attr2\n"
    "31 22 254:16 /sub /srv ro,relatime - xfs /dev/vdb rw,attr2\n"
    "32 22 0:25 /@home /home rw - btrfs /dev/vdc rw,subvolid=256\n"
    "33 22 254:32 / /mnt/deep rw - ext4 /dev/vdd ro\n"
    "34 33 254:48 / /mnt/deep rw - ext4 /dev/vde rw\n"
    "35 34 254:64 / /mnt/deep/er rw - ext4 /dev/vdf rw\n"
    "36 33 254:80 / /mnt/deep/er rw - ext4 /dev/vdg rw\n"
    "37 22 0:40 / /merged rw - overlay overlay rw,lowerdir=/l,upperdir=/up\\040per,workdir=/w\n";

const Mount& by_id(const MountTable& table, int id) {
    for (const Mount& mount : table.mounts()) {
        if (mount.id == id) return mount;
    }
    FAIL("no such mount");
    return table.mounts().front();
}

}  // namespace

TEST_CASE("guest-linux/mountinfo: fields, optional fields and escapes") {
    const MountTable table = MountTable::parse(table_text).value();
    CHECK(table.mounts().size() == 11);
    const Mount& proc = by_id(table, 23);
    CHECK(proc.type == "proc");
    CHECK(proc.device == DeviceId{0, 21});
    CHECK(by_id(table, 30).point == "/mnt/a b");
    CHECK(by_id(table, 32).root == "/@home");
    CHECK(by_id(table, 32).device.text() == "0:25");
    CHECK(by_id(table, 37).super_option("upperdir") == "/up per");
    CHECK(!by_id(table, 37).super_option("upper"));
}

TEST_CASE("guest-linux/mountinfo: read-only is judged on the superblock, not on the mount") {
    const MountTable table = MountTable::parse(table_text).value();
    CHECK(!by_id(table, 31).read_only());  // a read-only bind mount of a writable filesystem
    CHECK(by_id(table, 33).read_only());
    CHECK(!by_id(table, 22).read_only());  // errors=remount-ro is not ro
}

TEST_CASE("guest-linux/mountinfo: a walk follows stacked and covered mounts") {
    const MountTable table = MountTable::parse(table_text).value();
    const auto ids = [&](std::string_view path) {
        std::vector<int> found;
        for (const Mount* mount : table.walk(path)) found.push_back(mount->id);
        return found;
    };
    CHECK(ids("/") == std::vector{1, 22});
    CHECK(ids("/etc/fstab") == std::vector{1, 22});
    CHECK(ids("/mnt/a b/file") == std::vector{1, 22, 30});
    CHECK(ids("/mnt/a bc") == std::vector{1, 22});
    CHECK(ids("/mnt/deep/er/x") == std::vector{1, 22, 33, 34, 35});
    CHECK(ids("relative").empty());
    CHECK(table.visible(by_id(table, 35)));
    CHECK(!table.visible(by_id(table, 36)));  // below what covers /mnt/deep
    CHECK(!table.visible(by_id(table, 33)));
    CHECK(table.visible(by_id(table, 34)));
}

TEST_CASE("guest-linux/mountinfo: octal escapes are undone, other backslashes stay") {
    CHECK(unescape_octal("a\\011b\\012c\\134d\\040") == "a\tb\nc\\d ");
    CHECK(unescape_octal("\\9\\04") == "\\9\\04");
    CHECK(unescape_octal("\\303\\244") == "\303\244");
}

TEST_CASE("guest-linux/mountinfo: a line in another form is an error with its number") {
    for (const std::string_view bad :
         {"22 1 254:1 / / rw ext4 /dev/vda1 rw", "x 1 254:1 / / rw - ext4 /dev/vda1 rw",
          "22 1 254 / / rw - ext4 /dev/vda1 rw", "22 1 254:1x / / rw - ext4 /dev/vda1 rw",
          "garbage"}) {
        const auto parsed =
            MountTable::parse("1 1 0:2 / / rw - rootfs rootfs rw\n" + std::string(bad));
        REQUIRE(!parsed);
        CHECK(parsed.error().id == "freeze.mountinfo");
        CHECK(parsed.error().text.find("line 2") != std::string::npos);
    }
    CHECK(MountTable::parse("").value().mounts().empty());
}

TEST_CASE("guest-linux/mountinfo: a forged circle of parents ends the walk") {
    const auto table = MountTable::parse(
                           "1 9 8:1 / / rw - ext4 a rw\n"
                           "2 3 8:1 / /x rw - ext4 a rw\n"
                           "3 2 8:1 / /x rw - ext4 a rw\n"
                           "4 1 8:1 / /y rw - ext4 a rw\n"
                           "4 4 8:1 / /y rw - ext4 a rw\n")
                           .value();
    CHECK(table.walk("/x/y").size() == 1);
    CHECK(table.walk("/y").size() == 2);
}
