#include "hooks/trusted_file.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>

#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using stillpoint::test::TempFolder;
namespace fs = std::filesystem;

namespace {

struct Place {
    Place() {
        folder.file("a/b/hook", "x");
        for (const char* part : {"a", "a/b", "a/b/hook"}) {
            fs::permissions(folder.path() / part, fs::perms(0755));
        }
    }
    [[nodiscard]] std::string refusal(const std::string& name = "a/b/hook") const {
        const auto opened = open_trusted(folder.path() / name, rules);
        if (opened) return "";
        return opened.error().id == "hook.untrusted" ? opened.error().text : opened.error().id;
    }
    TempFolder folder;
    TrustRules rules{::geteuid(), folder.path()};
};

bool says(const std::string& text, std::string_view part) {
    CAPTURE(text);
    return text.find(part) != std::string::npos;
}

/// An ACL with one named user who may write, as setfacl -m u:65534:rw makes it.
bool give_acl(const fs::path& path, unsigned char named_permissions) {
    const std::array<unsigned char, 44> acl{2,    0,    0,
                                            0,  // version
                                            1,    0,    7,
                                            0,    0xff, 0xff,
                                            0xff, 0xff,  // owner
                                            2,    0,    named_permissions,
                                            0,    0xfe, 0xff,
                                            0,    0,  // user 65534
                                            4,    0,    5,
                                            0,    0xff, 0xff,
                                            0xff, 0xff,  // group
                                            16,   0,    5,
                                            0,    0xff, 0xff,
                                            0xff, 0xff,  // mask: no write at present
                                            32,   0,    5,
                                            0,    0xff, 0xff,
                                            0xff, 0xff};  // others
    return ::setxattr(path.c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0) == 0;
}

}  // namespace

TEST_CASE("guest-linux/trust: a file that only its owner could have written is opened") {
    const Place place;
    CHECK(place.refusal().empty());
    CHECK(read_trusted(place.folder.path() / "a/b/hook", 10, place.rules) == "x");
    CHECK(!read_trusted(place.folder.path() / "a/b/hook", 0, place.rules));
    CHECK(place.refusal("a/./b//hook").empty());
    CHECK(place.refusal("a/none") == "os.enoent");
}

TEST_CASE("guest-linux/trust: a writable file or parent is refused and named") {
    for (const char* part : {"a", "a/b", "a/b/hook"}) {
        for (const unsigned mode : {0775U, 0757U, 01777U}) {
            const Place place;
            const fs::path path = place.folder.path() / part;
            REQUIRE(::chmod(path.c_str(), mode) == 0);
            CHECK(says(place.refusal(), path.string() + " is writable by its group or by others"));
        }
    }
}

TEST_CASE("guest-linux/trust: another owner is refused") {
    if (::geteuid() != 0) return;  // only root can give files away
    for (const char* part : {"a", "a/b", "a/b/hook"}) {
        const Place place;
        const fs::path path = place.folder.path() / part;
        REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
        CHECK(says(place.refusal(), path.string() + " does not belong to root"));
    }
}

TEST_CASE("guest-linux/trust: an ACL that lets somebody write is refused, whatever its mask") {
    for (const char* part : {"a", "a/b", "a/b/hook"}) {
        const Place place;
        const fs::path path = place.folder.path() / part;
        if (!give_acl(path, 7)) return;  // this filesystem has none
        CHECK(says(place.refusal(), path.string() + " has an ACL that lets others write"));
        REQUIRE(give_acl(path, 5));
        CHECK(place.refusal().empty());
    }
}

TEST_CASE("guest-linux/trust: a file that somebody has open for writing is refused") {
    const Place place;
    const std::string path = place.folder.path() / "a/b/hook";
    for (const int flags : {O_WRONLY, O_RDWR}) {
        const os::UniqueFd kept{::open(path.c_str(), flags | O_CLOEXEC)};
        REQUIRE(kept.valid());
        CHECK(says(place.refusal(), path + " is open for writing"));
    }
    const os::UniqueFd read{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    CHECK(place.refusal().empty());
    // No lease is left behind, which would hold up the next who opens it for writing.
    const auto opened = open_trusted(path, place.rules);
    REQUIRE(opened);
    CHECK(::fcntl(opened->get(), F_GETLEASE) == F_UNLCK);
}

TEST_CASE("guest-linux/trust: links, dots, FIFOs and folders are refused") {
    const Place place;
    place.folder.link("a/b/link", "hook");
    place.folder.link("c", "a");
    CHECK(says(place.refusal("a/b/link"), "is a symbolic link"));
    CHECK(says(place.refusal("c/b/hook"), "c is a symbolic link"));
    CHECK(says(place.refusal("a/../a/b/hook"), "has .. in it"));
    REQUIRE(::mkfifo((place.folder.path() / "fifo").c_str(), 0700) == 0);
    CHECK(says(place.refusal("fifo"), "is no regular file"));
    CHECK(says(place.refusal("a/b"), "is no regular file"));
    CHECK(!open_trusted_folder(place.folder.path() / "a/b/hook", place.rules));
    CHECK(open_trusted_folder(place.folder.path() / "a/b", place.rules));
}
