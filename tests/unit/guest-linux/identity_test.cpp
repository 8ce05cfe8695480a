#include "freeze/identity.hpp"

#include <doctest/doctest.h>

#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;

namespace {

class Head {
public:
    Head& put(std::size_t at, const std::string& text) {
        text_.replace(at, text.size(), text);
        return *this;
    }
    [[nodiscard]] std::string_view view() const { return text_; }

private:
    std::string text_ = std::string(superblock_bytes, '\0');
};

auto identified(const Head& head) {
    return identify(head.view());
}

const std::string uuid_bytes = "\x01\x23\x45\x67\x89\xab\xcd\xef\x10\x32\x54\x76\x98\xba\xdc\xfe";
const std::string uuid_text = "01234567-89ab-cdef-1032-547698badcfe";

}  // namespace

TEST_CASE("guest-linux/identity: UUID and label of each kind of superblock") {
    CHECK(identified(Head{}
                         .put(1024 + 0x38, "\x53\xef")
                         .put(1024 + 0x68, uuid_bytes)
                         .put(1024 + 0x78, "sixteen bytes ok")) ==
          Identity{uuid_text, "sixteen bytes ok"});
    CHECK(identified(Head{}.put(0, "XFSB").put(32, uuid_bytes).put(108, "x")) ==
          Identity{uuid_text, "x"});
    CHECK(identified(Head{}
                         .put(65536 + 0x40, "_BHRfS_M")
                         .put(65536 + 0x20, uuid_bytes)
                         .put(65536 + 0x12b, "b")) == Identity{uuid_text, "b"});
    CHECK(identified(Head{}
                         .put(510, "\x55\xaa")
                         .put(82, "FAT32   ")
                         .put(67,
                              "\x78\x56\x34\x12"
                              "EFI        ")) == Identity{"1234-5678", "EFI"});
    CHECK(identified(Head{}
                         .put(510, "\x55\xaa")
                         .put(54, "FAT16   ")
                         .put(39, "\x78\x56\x34\x12NO NAME    ")) == Identity{"1234-5678", ""});
}

TEST_CASE("guest-linux/identity: other and short beginnings are nothing") {
    CHECK(!identified(Head{}));
    for (const std::size_t size : {0UL, 3UL, 100UL, 512UL, 1100UL}) {
        const Head head = Head{}.put(0, "XFSB");
        const std::string_view xfs = head.view();
        CHECK(!identify(std::string(xfs.substr(0, std::min<std::size_t>(size, 100)))));
        CHECK(!identify(std::string(size, '\xff')));
    }
}

TEST_CASE("guest-linux/identity: udev's record") {
    CHECK(identity_in_udev("S:disk/by-uuid/x\nE:ID_FS_UUID=12-34\nE:ID_FS_LABEL=a_b\n"
                           "E:ID_FS_LABEL_ENC=a\\x20b\nE:ID_FS_TYPE=vfat\n") ==
          Identity{"12-34", "a b"});
    CHECK(!identity_in_udev("I:1\nE:ID_PART_ENTRY_UUID=12\n"));
    CHECK(!identity_in_udev(""));
}

TEST_CASE("guest-linux/identity: udev first, sysfs for btrfs, nothing where nothing is known") {
    const test::TempFolder place;
    place.file("udev/b254:16", "E:ID_FS_UUID=uu\n");
    place.file("sys/fs/btrfs/be-ef/devices/vdc", "");
    place.file("sys/fs/btrfs/be-ef/label", "pool\n");
    const auto mounts = MountTable::parse(
                            "1 0 254:16 / / rw - ext4 /dev/vdb rw\n"
                            "2 1 0:40 / /b rw - btrfs /dev/vdc rw\n"
                            "3 1 254:48 / /gone rw - ext4 /dev/vdd rw\n")
                            .value();
    SysfsFacts facts;
    facts.devices[{254, 16}].name = "vdb";
    facts.devices[{254, 32}].name = "vdc";
    facts.devices[{254, 48}].name = "vdd";
    facts.members[{0, 40}] = {{254, 32}};
    const std::string root = place.path();
    const auto known = read_identities(mounts, facts, {root + "/sys", root + "/udev", root});
    CHECK(known.size() == 2);
    CHECK(known.at({254, 16}) == Identity{"uu", ""});
    CHECK(known.at({0, 40}) == Identity{"be-ef", "pool"});
}
