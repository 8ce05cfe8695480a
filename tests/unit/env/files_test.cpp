#include "env/files.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>

#include "env/page_buffer.hpp"

using namespace stillpoint;
using namespace stillpoint::env;

namespace {

TemporaryFolder scratch() {
    return TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-env-").value();
}

void write_text(const Path& path, std::string_view text) {
    const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC).value();
    REQUIRE(write_at(fd.get(), ByteOffset{0}, as_bytes(text), path));
}

void fill(std::span<std::byte> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
}

bool takes_direct_writes(const Path& folder) {
    struct statfs info {};
    REQUIRE(::statfs(folder.c_str(), &info) == 0);
    if (info.f_type == TMPFS_MAGIC)
        return false;  // newer ones say yes and are a cache all the same
    return open_file(folder / "probe", O_WRONLY | O_CREAT | O_DIRECT).has_value();
}

std::size_t cached_pages(const Path& path, std::size_t bytes) {
    const UniqueFd fd = open_file(path, O_RDONLY).value();
    void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    REQUIRE(mapped != MAP_FAILED);
    std::vector<unsigned char> pages((bytes + 4095) / 4096);
    REQUIRE(::mincore(mapped, bytes, pages.data()) == 0);
    ::munmap(mapped, bytes);
    return static_cast<std::size_t>(
        std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1) != 0; }));
}

// A multiple of nothing, and larger than a step of the writer.
constexpr std::size_t odd_bytes = (9u << 20) + 4096 + 77;

}  // namespace

TEST_CASE("env/files: a page buffer goes to the disk past the page cache, to its last byte") {
    for (const Path& parent : {std::filesystem::temp_directory_path(), Path{"/dev/shm"}}) {
        CAPTURE(parent);
        const TemporaryFolder folder = TemporaryFolder::create(parent, "sp-env-").value();
        const PageBuffer buffer = make_page_buffer(odd_bytes);
        const std::span<std::byte> bytes{buffer.get(), odd_bytes};
        fill(bytes);
        const Path path = folder.path() / "object";
        REQUIRE(write_durably(path, bytes, 0400, folder.path()));
        if (takes_direct_writes(folder.path())) CHECK(cached_pages(path, odd_bytes) <= 2);
        const Bytes back = read_file(path, odd_bytes).value();
        CHECK(std::equal(back.begin(), back.end(), bytes.begin(), bytes.end()));
    }
}

TEST_CASE("env/files: large bytes at any address are written whole") {
    const TemporaryFolder folder = scratch();
    Bytes all(odd_bytes);
    fill(all);
    const ByteView bytes = ByteView{all}.subspan(1);
    REQUIRE(write_durably(folder.path() / "object", bytes, 0400, folder.path()));
    const Bytes back = read_file(folder.path() / "object", odd_bytes).value();
    CHECK(std::equal(back.begin(), back.end(), bytes.begin(), bytes.end()));
}

TEST_CASE("env/files: a file is read whole up to its limit, and refused beyond it") {
    const TemporaryFolder folder = scratch();
    const Path path = folder.path() / "f";
    const std::string text(70'000, 'x');  // more than one step of the reader
    write_text(path, text);
    CHECK(as_text(read_file(path, 70'000).value()) == text);
    CHECK(as_text(read_file(path, SIZE_MAX).value()) == text);
    CHECK(read_file(path, 69'999).error().id == "file.too_large");
    CHECK(read_file(folder.path() / "none", 1).error().code == Errc::not_found);
    CHECK(env::file_size(path).value() == ByteCount{70'000});
    write_text(path, "");
    CHECK(read_file(path, 0).value().empty());
}

TEST_CASE("env/files: read_at names a short file") {
    const TemporaryFolder folder = scratch();
    const Path path = folder.path() / "f";
    write_text(path, "0123456789");
    const UniqueFd fd = open_file(path, O_RDONLY).value();
    Bytes four(4);
    REQUIRE(read_at(fd.get(), ByteOffset{6}, four, path));
    CHECK(as_text(four) == "6789");
    const Status past = read_at(fd.get(), ByteOffset{7}, four, path);
    CHECK(past.error().id == "file.short");
    CHECK(past.error().code == Errc::corrupt);
}

TEST_CASE("env/files: write_durably never replaces and leaves no temporary behind") {
    const TemporaryFolder folder = scratch();
    REQUIRE(make_folders(folder.path() / "tmp", 0700));
    const Path path = folder.path() / "object";
    REQUIRE(write_durably(path, as_bytes("first"), 0400, folder.path() / "tmp"));
    const Status again = write_durably(path, as_bytes("second"), 0400, folder.path() / "tmp");
    CHECK(again.error().id == "file.exists");
    CHECK(as_text(read_file(path, 100).value()) == "first");
    CHECK(list_folder(folder.path() / "tmp").value().empty());
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0400);
    const Status nowhere =
        write_durably(folder.path() / "no" / "object", as_bytes("x"), 0400, folder.path() / "tmp");
    CHECK(nowhere.error().code == Errc::not_found);
    CHECK(list_folder(folder.path() / "tmp").value().empty());
}

TEST_CASE("env/files: make_folders makes what is missing and refuses a file in the way") {
    const TemporaryFolder folder = scratch();
    REQUIRE(make_folders(folder.path() / "a/b/c", 0700));
    REQUIRE(make_folders(folder.path() / "a/b/c", 0700));
    CHECK(list_folder(folder.path() / "a").value() == std::vector<std::string>{"b"});
    write_text(folder.path() / "file", "x");
    CHECK_FALSE(make_folders(folder.path() / "file", 0700));
    CHECK_FALSE(make_folders(folder.path() / "file/under", 0700));
}

TEST_CASE("env/files: make_folders takes relative paths") {
    const TemporaryFolder folder = scratch();
    const Path before = std::filesystem::current_path();
    std::filesystem::current_path(folder.path());
    const Status made = make_folders("r/s", 0700);
    const Status single = make_folders("t", 0700);
    std::filesystem::current_path(before);
    CHECK(made);
    CHECK(single);
    CHECK(list_folder(folder.path()).value() == std::vector<std::string>{"r", "t"});
}

TEST_CASE("env/files: a lock is held by one until its owner goes") {
    const TemporaryFolder folder = scratch();
    const Path path = folder.path() / "lock";
    {
        const auto first = FileLock::take(path);
        REQUIRE(first);
        CHECK(FileLock::take(path).error().id == "lock.held");
    }
    CHECK(FileLock::take(path));
}

TEST_CASE("env/files: a temporary folder goes with its content; removing nothing is success") {
    Path path;
    {
        const TemporaryFolder folder = scratch();
        path = folder.path();
        write_text(path / "f", "x");
        CHECK(remove_file(path / "f"));
        CHECK(remove_file(path / "f"));
        REQUIRE(make_folders(path / "deep/er", 0700));
    }
    CHECK_FALSE(std::filesystem::exists(path));
}
