#include "hypervisor/image/writers.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <utime.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor::image;
namespace fs = std::filesystem;

namespace {

const env::SystemClock real_clock;

struct Folder {
    env::TemporaryFolder folder =
        env::TemporaryFolder::create(fs::temp_directory_path(), "sp-writers-").value();
    env::Path file = folder.path() / "image";
    Folder() { write("one"); }
    void write(const std::string& text) const {
        const auto fd = env::open_file(file, O_WRONLY | O_CREAT | O_TRUNC).value();
        REQUIRE(env::write_at(fd.get(), ByteOffset{0}, as_bytes(text), file));
    }
    [[nodiscard]] DiskStamp stamp() const {
        return settled_stamp({file.string()}, real_clock, {}).value();
    }
    [[nodiscard]] std::string change_since(const DiskStamp& before) const {
        return find_change(before).value();
    }
};

}  // namespace

TEST_CASE("image/writers: an untouched file is unchanged, also after it was read") {
    const Folder at;
    const DiskStamp before = at.stamp();
    REQUIRE(env::read_file(at.file, 100));
    CHECK(at.change_since(before).empty());
    CHECK_FALSE(before.has_block_device());
}

TEST_CASE("image/writers: every write is seen, the first one right after the look included") {
    const Folder at;
    for (int round = 0; round < 20; ++round) {
        const DiskStamp before = at.stamp();
        at.write("two");
        CHECK(at.change_since(before) == at.file);
    }
}

TEST_CASE("image/writers: a write whose time was set back afterwards is seen") {
    const Folder at;
    const DiskStamp before = at.stamp();
    at.write("two");
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(before.stamps[0].modified).count();
    const utimbuf times{seconds, seconds};
    REQUIRE(::utime(at.file.c_str(), &times) == 0);
    CHECK(at.change_since(before) == at.file);
}

TEST_CASE("image/writers: another file under the same name is a change") {
    const Folder at;
    const DiskStamp before = at.stamp();
    const env::Path other = at.folder.path() / "other";
    fs::copy_file(at.file, other);
    fs::rename(other, at.file);
    CHECK(at.change_since(before) == at.file);
}

TEST_CASE("image/writers: a file that is gone is an error") {
    const Folder at;
    const DiskStamp before = at.stamp();
    fs::remove(at.file);
    CHECK(find_change(before).error().code == Errc::not_found);
}

TEST_CASE("image/writers: a ban and a writer of QEMU's kind exclude each other") {
    const Folder at;
    const DiskStamp before = at.stamp();
    {
        const auto ban = WriterBan::take(at.file);
        REQUIRE(ban);
        CHECK_FALSE(has_writer(at.file).value());
        REQUIRE(WriterBan::take(at.file));  // several readers
    }
    // What QEMU locks of a file that it writes: "I have the permission".
    const auto writer = env::SharedByteLocks::take(at.file, {101});
    REQUIRE(writer);
    CHECK(has_writer(at.file).value());
    CHECK(WriterBan::take(at.file).error().id == "image.in_use");
    CHECK(at.change_since(before) == at.file);
}
