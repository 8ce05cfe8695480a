#include "vault/local_store.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cerrno>
#include <fstream>
#include <optional>

#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

unsigned mode_of(const env::Path& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 07777;
}

/// @return whether the file's first page is in the page cache; nullopt where nobody can tell
std::optional<bool> is_cached(const env::Path& path) {
    const auto fd = env::open_file(path, O_RDONLY).value();
    char byte = 0;
    iovec one{&byte, 1};
    if (::preadv2(fd.get(), &one, 1, 0, RWF_NOWAIT) == 1) return true;
    if (errno == EAGAIN) return false;
    return std::nullopt;
}

struct Folder {
    env::TemporaryFolder temporary = env::TemporaryFolder::create("/tmp", "sp-local-").value();
    env::Path root = temporary.path() / "a" / "vault";
    env::SystemClock clock;
};

}  // namespace

TEST_CASE("vault/local: objects are files below the folder, for their owner's eyes alone") {
    Folder f;
    const auto store = LocalStore::open(f.root, f.clock).value();
    CHECK_FALSE(std::filesystem::exists(f.root));  // opening makes nothing
    REQUIRE(store->put("packs/ab/abcd", as_bytes("x")));
    CHECK(mode_of(f.root / "packs/ab/abcd") == 0400);
    for (const char* folder : {"", "packs", "packs/ab", "tmp"}) {
        CHECK(mode_of(f.root / folder) == 0700);
    }
    CHECK(std::filesystem::is_empty(f.root / "tmp"));
}

TEST_CASE("vault/local: a whole pack that was read leaves the page cache, smaller reads stay") {
    Folder f;
    const auto store = LocalStore::open(f.root, f.clock).value();
    const std::string pack = "packs/ab/abcd";
    REQUIRE(store->put(pack, Bytes(32 << 20)));
    REQUIRE(store->get(pack, ByteOffset{0}, ByteCount{4096}));
    const auto after_small = is_cached(f.root / pack);
    if (!after_small || !*after_small) return;  // a file system without a page cache to look into
    REQUIRE(store->get_reusing(pack, ByteOffset{0}, ByteCount{32 << 20}, {}));
    CHECK(is_cached(f.root / pack) == false);
}

TEST_CASE("vault/local: half-written objects go once they are a day old, younger ones stay") {
    Folder f;
    REQUIRE(LocalStore::open(f.root, f.clock).value()->put("config", as_bytes("x")));
    std::ofstream{f.root / "tmp" / "left.over"} << "half";
    REQUIRE(LocalStore::open(f.root, f.clock));
    CHECK(std::filesystem::exists(f.root / "tmp" / "left.over"));
    CHECK(LocalStore::open(f.root, f.clock).value()->list("").value().size() == 1);
    test::SplitClock later;
    later.pass(f.clock.wall() - later.wall() + std::chrono::hours{25});
    REQUIRE(LocalStore::open(f.root, later));
    CHECK_FALSE(std::filesystem::exists(f.root / "tmp" / "left.over"));
    CHECK(std::filesystem::exists(f.root / "config"));
}

TEST_CASE("vault/local: files that are no objects are not listed") {
    Folder f;
    const auto store = LocalStore::open(f.root, f.clock).value();
    REQUIRE(store->put("points/p", as_bytes("x")));
    std::ofstream{f.root / "points" / "Copy of p"} << "x";
    std::filesystem::create_directory_symlink("/", f.root / "points" / "loop");
    const auto listed = store->list("points/").value();
    REQUIRE(listed.size() == 2);  // the link is listed as what it is, and not followed
    CHECK(listed[0].name == "points/loop");
    CHECK(listed[1].name == "points/p");
}

TEST_CASE("vault/local: which URLs name a store") {
    Folder f;
    CHECK(open_store(f.root.string()).value()->describe() == f.root.string());
    CHECK(open_store("file://" + f.root.string()).value()->describe() == f.root.string());
    CHECK(open_store(f.root.string() + "/").value()->describe() == f.root.string());
    CHECK(open_store("s3://bucket/prefix").value()->describe() == "s3://bucket/prefix");
    for (const char* url : {"", "relative/path", "file://relative", "ftp://host/x", "http://x"}) {
        CAPTURE(url);
        CHECK(open_store(url).error().id == "vault.url");
    }
}
