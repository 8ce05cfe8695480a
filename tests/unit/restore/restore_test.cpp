#include <doctest/doctest.h>

#include "support/restore_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::restore;
using test::random_disk;
using test::RestoreLab;

namespace {

constexpr std::size_t block = RestoreLab::block;
constexpr RestoreOptions raw{.format = Format::raw, .workers = 3};

Bytes read_all(const env::Path& file) {
    return env::read_file(file, 1u << 30).value();
}

void write_all(const env::Path& file, ByteView bytes) {
    REQUIRE(env::write_durably(file, bytes, 0600, file.parent_path()));
}

}  // namespace

TEST_CASE("restore: a raw file equals the disk, is sparse and complete") {
    for (const std::size_t bytes : {std::size_t{0}, block / 2, 5 * block, 700 * block + 512}) {
        RestoreLab lab{random_disk(bytes, bytes)};
        std::uint64_t last = 0;
        const auto result = lab.restore(raw, [&](std::uint64_t done) {
            CHECK(done >= last);
            last = done;
        });
        REQUIRE(result);
        CHECK(last == bytes);
        CHECK(result->damage.empty());
        CHECK(result->file == lab.file("vda.raw"));
        CHECK(result->data_bytes == lab.data_bytes());
        CHECK(lab.files() == std::vector<std::string>{"vda.raw"});
        CHECK(read_all(result->file) == lab.content);
        struct stat info {};
        REQUIRE(::stat(result->file.c_str(), &info) == 0);
        CHECK(static_cast<std::uint64_t>(info.st_blocks) * 512 <= lab.data_bytes() + 64 * 1024);
    }
}

TEST_CASE("restore: what exists is never overwritten, not even a broken link") {
    RestoreLab lab{random_disk(9 * block, 1)};
    write_all(lab.file("vda.raw"), as_bytes("mine"));
    CHECK(lab.restore(raw).error().id == "restore.exists");
    CHECK(as_text(read_all(lab.file("vda.raw"))) == "mine");
    CHECK(lab.files().size() == 1);
    REQUIRE(env::remove_file(lab.file("vda.raw")));
    std::filesystem::create_symlink("/nowhere", lab.file("vda.raw"));
    CHECK(lab.restore(raw).error().id == "restore.exists");
}

TEST_CASE("restore: a name taken during the restore is left alone") {
    RestoreLab lab{random_disk(40 * block, 1)};
    const auto result = lab.restore(raw, [&](std::uint64_t) {
        if (!std::filesystem::exists(lab.file("vda.raw"))) {
            write_all(lab.file("vda.raw"), as_bytes("mine"));
        }
    });
    CHECK(result.error().id == "restore.exists");
    CHECK(as_text(read_all(lab.file("vda.raw"))) == "mine");
    CHECK(lab.files().size() == 1);
}

TEST_CASE("restore: what an earlier attempt left is replaced; a running one is not") {
    RestoreLab lab{random_disk(9 * block, 1)};
    write_all(lab.file("vda.raw.incomplete"), Bytes(50 * block, std::byte{1}));
    {
        const auto other = env::FileLock::take(lab.file("vda.raw.incomplete"));
        CHECK(lab.restore(raw).error().id == "restore.running");
    }
    REQUIRE(lab.restore(raw));
    CHECK(read_all(lab.file("vda.raw")) == lab.content);
}

TEST_CASE("restore: damaged blocks are named, the rest is there, the file stays incomplete") {
    Bytes disk = random_disk(300 * block + 100, 4);
    std::mt19937 random{1};
    for (std::size_t at = 70 * block; at < 72 * block; ++at)
        disk[at] = static_cast<std::byte>(random());
    RestoreLab lab{disk};
    auto saboteur = lab.saboteur();
    saboteur.spoil_block(lab.root, 70);
    saboteur.spoil_block(lab.root, 71);
    lab.lab.reopen();
    const auto result = lab.restore(raw);
    REQUIRE(result);
    REQUIRE(result->damage.size() == 1);
    CHECK(result->damage[0].range == Extent{ByteOffset{70 * block}, ByteCount{2 * block}});
    CHECK(result->damage[0].text.find("packs/") != std::string::npos);
    CHECK(lab.files() == std::vector<std::string>{"vda.raw.incomplete"});
    Bytes expected = disk;
    std::fill_n(expected.begin() + 70 * block, 2 * block, std::byte{0});
    CHECK(read_all(result->file) == expected);
    CHECK(verify_disk(lab.lab.vault(), lab.root, {}, {}).value().size() == 1);
}

TEST_CASE("restore: a damaged map node is a damaged range, whole subtrees at most") {
    RestoreLab lab{random_disk(300 * block, 4)};
    lab.saboteur().spoil_node(lab.root, 0, 2);
    lab.lab.reopen();
    const auto result = lab.restore(raw);
    REQUIRE(result);
    REQUIRE(result->damage.size() == 1);
    CHECK(result->damage[0].range == Extent{ByteOffset{128 * block}, ByteCount{64 * block}});
    const auto found = verify_disk(lab.lab.vault(), lab.root, {}, {}).value();
    REQUIRE(found.size() == 1);
    CHECK(found[0].range == result->damage[0].range);
}

TEST_CASE("restore: a damaged root is an error and leaves nothing") {
    RestoreLab lab{random_disk(30 * block, 4)};
    lab.saboteur().spoil_root(lab.root);
    lab.lab.reopen();
    CHECK(lab.restore(raw).error().code == Errc::corrupt);
    CHECK(verify_disk(lab.lab.vault(), lab.root, {}, {}).error().code == Errc::corrupt);
    CHECK(lab.files().empty());
}

TEST_CASE("restore: a cancelled restore ends and leaves nothing") {
    RestoreLab lab{random_disk(600 * block, 4)};
    env::CancelToken cancel;
    const auto result = lab.restore(
        raw, [&](std::uint64_t) { cancel.cancel(); }, cancel);
    CHECK(result.error().code == Errc::cancelled);
    CHECK(lab.files().empty());
}

TEST_CASE("restore: a full target says so and leaves nothing") {
    RestoreLab lab{random_disk(60 * block, 4)};
    {
        const test::FileSizeLimit limit{70 * block};
        CHECK(lab.restore(raw));
        REQUIRE(env::remove_file(lab.file("vda.raw")));
    }
    const test::FileSizeLimit limit{30 * block};
    const auto result = lab.restore(raw);
    CHECK(result.error().code == Errc::no_space);
    CHECK(result.error().text.find("vda.raw.incomplete") != std::string::npos);
    CHECK(lab.files().empty());
}

TEST_CASE("restore: a disk name that leads elsewhere is refused") {
    RestoreLab lab{random_disk(block, 4)};
    for (const char* name : {"", "..", "../vda", "a/b"}) {
        lab.root.disk = name;
        CHECK(lab.restore(raw).error().id == "restore.disk_name");
    }
}

TEST_CASE("restore: a folder that does not exist is said") {
    RestoreLab lab{random_disk(block, 4)};
    const auto result = restore_disk(lab.lab.vault(), lab.root, lab.file("missing"), raw, {}, {});
    CHECK(result.error().code == Errc::not_found);
}

TEST_CASE("restore/verify: an intact disk has no findings, whatever its content") {
    RestoreLab lab{random_disk(130 * block + 7, 6)};
    std::uint64_t last = 0;
    const auto found =
        verify_disk(lab.lab.vault(), lab.root, [&](std::uint64_t n) { last = n; }, {});
    CHECK(found.value().empty());
    CHECK(last == lab.content.size());
}

TEST_CASE("restore/compare: finds what differs in a raw file, and nothing else") {
    RestoreLab lab{random_disk(130 * block + 7, 6)};
    const env::Path file = lab.file("other.raw");
    const auto differences = [&](const Bytes& bytes) {
        REQUIRE(env::remove_file(file));
        write_all(file, bytes);
        return lab.compare(file).value();
    };
    CHECK(differences(lab.content).empty());
    for (std::size_t at = 0; at < lab.content.size(); at += 5 * block + 77) {
        Bytes other = lab.content;
        other[at] ^= std::byte{1};
        const auto found = differences(other);
        REQUIRE(found.size() == 1);
        CHECK(found[0].range.at.raw() <= at);
        CHECK(at < end_of(found[0].range)->raw());
        CHECK(found[0].range.length.raw() <= block);
    }
    Bytes shorter = lab.content;
    shorter.resize(100 * block + 5);
    const auto cut = differences(shorter);
    REQUIRE_FALSE(cut.empty());
    CHECK(end_of(cut.back().range)->raw() == lab.content.size());
    Bytes longer = lab.content;
    longer.resize(lab.content.size() + 505);
    CHECK(differences(longer).empty());  // rounded up to whole sectors
    longer.back() = std::byte{1};
    CHECK(differences(longer).size() == 1);
    longer.resize(lab.content.size() + block);
    CHECK(differences(longer).size() == 1);
    CHECK(lab.compare(lab.file("missing")).error().code == Errc::not_found);
}

TEST_CASE("restore/compare: a raw file that a guest made look like qcow2 is still raw") {
    Bytes disk(4 * block, std::byte{3});
    const std::array<std::byte, 4> magic{std::byte{'Q'}, std::byte{'F'}, std::byte{'I'},
                                         std::byte{0xfb}};
    std::copy(magic.begin(), magic.end(), disk.begin());
    RestoreLab lab{disk};
    REQUIRE(lab.restore(raw));
    CHECK(lab.compare(lab.file("vda.raw")).value().empty());
}
