#include "env/steady_file.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace stillpoint;
using namespace stillpoint::env;

namespace {

struct Place {
    TemporaryFolder folder =
        TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-steady-").value();
    [[nodiscard]] Path at(const std::string& name) const { return folder.path() / name; }
    [[nodiscard]] Path write(const std::string& name, const std::string& text) const {
        const UniqueFd fd = open_file(at(name), O_WRONLY | O_CREAT | O_TRUNC).value();
        REQUIRE(write_at(fd.get(), ByteOffset{0}, as_bytes(text), at(name)));
        return at(name);
    }
};

const SteadyLimits small{.bytes_max = 64, .files_max = 3};

SteadyLimits disturbed(std::function<void()> by, unsigned tries = 5) {
    return {.bytes_max = 64, .files_max = 3, .tries = tries, .after_reading = std::move(by)};
}

std::string error_of(const Path& file, const SteadyLimits& limits = small) {
    const auto read = read_steady_file(file, limits);
    return read ? "read" : read.error().id;
}

}  // namespace

TEST_CASE("env/steady_file: a file that stands still is read whole, an empty one too") {
    const Place place;
    const auto read = read_steady_file(place.write("a", "content"), small);
    REQUIRE(read);
    CHECK(as_text(read->content) == "content");
    CHECK(read_steady_file(place.write("b", ""), small)->content.empty());
}

TEST_CASE("env/steady_file: what is written while it is read is read again") {
    const Place place;
    const Path file = place.write("a", "before");
    int readings = 0;
    const auto read = read_steady_file(file, disturbed([&] {
                                           // The same size: only the stamp tells.
                                           if (++readings < 3) (void)place.write("a", "after!");
                                       }));
    REQUIRE(read);
    CHECK(as_text(read->content) == "after!");
    CHECK(readings == 3);
}

TEST_CASE("env/steady_file: a file that another replaces is read again") {
    const Place place;
    const Path file = place.write("a", "old");
    const Path next = place.write("b", "new");
    bool replaced = false;
    const auto read = read_steady_file(file, disturbed([&] {
                                           if (!replaced) std::filesystem::rename(next, file);
                                           replaced = true;
                                       }));
    CHECK(as_text(read.value().content) == "new");
}

TEST_CASE("env/steady_file: a file that never stands still, or goes, is an error") {
    const Place place;
    const Path file = place.write("a", "1");
    CHECK(error_of(file, disturbed([&] { (void)place.write("a", "2"); }, 3)) == "file.unsteady");
    CHECK(error_of(file, disturbed([&] { std::filesystem::remove(file); })) == "os.enoent");
}

TEST_CASE("env/steady_file: links, pipes, folders and large files are refused") {
    const Place place;
    std::filesystem::create_symlink(place.write("a", "secret"), place.at("link"));
    REQUIRE(::mkfifo(place.at("pipe").c_str(), 0600) == 0);  // opening one must not wait
    CHECK(error_of(place.at("link")) == "file.not_regular");
    CHECK(error_of(place.at("pipe")) == "file.not_regular");
    CHECK(error_of(place.folder.path()) == "file.not_regular");
    CHECK(error_of(place.write("b", std::string(65, 'x'))) == "file.too_large");
    CHECK(error_of(place.write("b", std::string(64, 'x'))) == "read");
}

TEST_CASE("env/steady_file: a folder's files belong together") {
    const Place place;
    (void)place.write("b", "2");
    (void)place.write("a", "1");
    (void)place.write(".lock", "");
    (void)place.write("TMP-a", "half");
    int readings = 0;
    const auto read = read_steady_folder(place.folder.path(), disturbed([&] {
                                             if (++readings == 1) (void)place.write("c", "3");
                                         }));
    REQUIRE(read);
    REQUIRE(read->size() == 3);
    CHECK((*read)[0].name == "a");
    CHECK(as_text((*read)[2].content) == "3");
    CHECK(readings == 2);
}

TEST_CASE("env/steady_file: a folder is bounded in files and bytes, and no link") {
    const Place place;
    const auto error = [&](const Path& folder) -> std::string {
        const auto read = read_steady_folder(folder, small);
        return read ? "read" : read.error().id;
    };
    const Path folder = place.at("tpm");
    REQUIRE(make_folders(folder, 0700));
    std::filesystem::create_directory_symlink(folder, place.at("link"));
    CHECK(error(place.at("link")) == "file.not_regular");
    (void)place.write("tpm/a", std::string(40, 'x'));
    (void)place.write("tpm/b", std::string(40, 'x'));
    CHECK(error(folder) == "file.too_large");
    for (const char* name : {"tpm/a", "tpm/b", "tpm/c", "tpm/d"}) (void)place.write(name, "x");
    CHECK(error(folder) == "file.too_many");
    std::filesystem::remove(place.at("tpm/d"));
    std::filesystem::remove(place.at("tpm/c"));
    CHECK(error(folder) == "read");
    std::filesystem::create_symlink("a", place.at("tpm/c"));
    CHECK(error(folder) == "file.not_regular");
}
