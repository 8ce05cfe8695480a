#include <doctest/doctest.h>
#include <sys/wait.h>

#include "env/process.hpp"
#include "support/restore_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::restore;
using test::random_disk;
using test::RestoreLab;

namespace {

constexpr std::size_t block = RestoreLab::block;
constexpr RestoreOptions qcow2{.format = Format::qcow2, .workers = 3};

env::ProcessOutput run(const std::vector<std::string>& arguments) {
    const env::SystemClock clock;
    return env::run_process(arguments, env::Deadline{clock, std::chrono::minutes{1}}, {}).value();
}

/// The image's content as another program sees it.
Bytes content_of(const RestoreLab& lab, const std::string& name) {
    const env::Path raw = lab.file("converted.raw");
    const auto done = run(
        {"qemu-img", "convert", "-f", "qcow2", "-O", "raw", lab.file(name).string(), raw.string()});
    REQUIRE_MESSAGE(done.exit_code == 0, done.errors);
    Bytes bytes = env::read_file(raw, 1u << 30).value();
    REQUIRE(env::remove_file(raw));
    return bytes;
}

bool has_children() {
    return ::waitpid(-1, nullptr, WNOHANG) >= 0;
}

std::size_t folders_left() {
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator{std::filesystem::temp_directory_path()}) {
        if (entry.path().filename().string().starts_with("stillpoint-nbd-")) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("restore/qcow2: the image equals the disk, is sound and sparse") {
    RestoreLab lab{random_disk(700 * block + 512, 4)};
    const std::size_t folders = folders_left();
    const auto result = lab.restore(qcow2);
    REQUIRE_MESSAGE(result, result.error().text);
    CHECK(result->damage.empty());
    CHECK(result->data_bytes == lab.data_bytes());
    CHECK(lab.files() == std::vector<std::string>{"vda.qcow2"});
    CHECK(run({"qemu-img", "check", "-q", result->file.string()}).exit_code == 0);
    CHECK(content_of(lab, "vda.qcow2") == lab.content);
    CHECK(lab.compare(result->file).value().empty());
    CHECK_FALSE(has_children());
    CHECK(folders_left() == folders);
    CHECK(lab.restore(qcow2).error().id == "restore.exists");
}

TEST_CASE("restore/qcow2: empty disks and disks of nothing but zeros") {
    for (const std::size_t bytes : {std::size_t{0}, 4096 * block}) {
        RestoreLab lab{Bytes(bytes)};
        const auto result = lab.restore(qcow2);
        REQUIRE_MESSAGE(result, result.error().text);
        CHECK(result->data_bytes == 0);
        CHECK(lab.compare(result->file).value().empty());
    }
}

TEST_CASE("restore/qcow2: damage leaves the image incomplete, with what could be read") {
    RestoreLab lab{random_disk(300 * block, 4)};
    lab.saboteur().spoil_node(lab.root, 0, 2);
    lab.lab.reopen();
    const auto result = lab.restore(qcow2);
    REQUIRE(result);
    REQUIRE(result->damage.size() == 1);
    CHECK(lab.files() == std::vector<std::string>{"vda.qcow2.incomplete"});
    Bytes expected = lab.content;
    std::fill_n(expected.begin() + 128 * block, 64 * block, std::byte{0});
    CHECK(content_of(lab, "vda.qcow2.incomplete") == expected);
}

TEST_CASE("restore/qcow2: cancel and a full target end the server and remove the file") {
    RestoreLab lab{random_disk(600 * block, 4)};
    const std::size_t folders = folders_left();
    env::CancelToken cancel;
    const auto cancelled = lab.restore(
        qcow2, [&](std::uint64_t) { cancel.cancel(); }, cancel);
    CHECK(cancelled.error().code == Errc::cancelled);
    CHECK(lab.files().empty());
    {
        const test::FileSizeLimit limit{100 * block};
        CHECK_FALSE(lab.restore(qcow2));
        CHECK(lab.files().empty());
    }
    CHECK_FALSE(has_children());
    CHECK(folders_left() == folders);
}

TEST_CASE("restore/compare: finds what differs in a qcow2 image") {
    RestoreLab lab{random_disk(300 * block, 6)};
    const auto file = lab.restore(qcow2).value().file;
    for (const std::size_t at : {std::size_t{0}, 77 * block + 4096, 299 * block}) {
        const auto io = run({"qemu-io", "-f", "qcow2", "-c",
                             "write -P 0x5a " + std::to_string(at) + " 512", file.string()});
        REQUIRE_MESSAGE(io.exit_code == 0, io.errors);
    }
    const auto found = lab.compare(file).value();
    REQUIRE(found.size() == 3);
    CHECK(found[0].range.at.raw() == 0);
    CHECK(found[1].range.at.raw() / block == 77);
    CHECK(found[2].range.at.raw() / block == 299);
}

TEST_CASE("restore/compare: a broken qcow2 image is an error, at once") {
    RestoreLab lab{random_disk(9 * block, 6)};
    Bytes junk(4096, std::byte{0xee});
    const std::string magic = "QFI\xfb";
    std::copy(as_bytes(magic).begin(), as_bytes(magic).end(), junk.begin());
    const env::Path file = lab.file("junk.qcow2");
    REQUIRE(env::write_durably(file, junk, 0600, lab.folder.path()));
    const auto result = lab.compare(file);
    CHECK(result.error().code == Errc::io);
    CHECK(result.error().text.find("junk.qcow2") != std::string::npos);
    CHECK_FALSE(has_children());
}
