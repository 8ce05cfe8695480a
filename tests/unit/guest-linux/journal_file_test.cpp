#include "hooks/journal_file.hpp"

#include <doctest/doctest.h>

#include "os/process.hpp"
#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using stillpoint::test::TempFolder;
namespace fs = std::filesystem;

namespace {

const quiesce::HookJournal owed{1, "boot", "job", {{"10-a", quiesce::HookStep::held}}};

struct Place {
    TempFolder folder;
    fs::path journal = folder.path() / "lib/hooks.journal";
    HookJournalFile::Places places{
        journal, folder.path() / "run/hooks.lock", {::geteuid(), folder.path()}};
    HookJournalFile file{places};
};

}  // namespace

TEST_CASE("guest-linux/journal: what is written is read by the next; nothing owed leaves no file") {
    Place place;
    REQUIRE(place.file.lock());
    CHECK((place.file.read().value() == std::nullopt));
    REQUIRE(place.file.write(owed));
    CHECK((HookJournalFile{place.places}.read().value() == std::optional{owed}));
    REQUIRE(place.file.write({}));
    CHECK(!fs::exists(place.journal));
    REQUIRE(place.file.write({}));
    os::reap_finished();
}

TEST_CASE("guest-linux/journal: one at a time") {
    Place place;
    REQUIRE(place.file.lock());
    REQUIRE(place.file.lock());
    HookJournalFile other{place.places};
    CHECK(other.lock().error().id == "journal.locked");
}

TEST_CASE("guest-linux/journal: a damaged or foreign file is an error and can be set aside") {
    Place place;
    REQUIRE(place.file.lock());
    REQUIRE(place.file.write(owed));
    fs::permissions(place.journal, fs::perms(0666));
    CHECK(place.file.read().error().id == "hook.untrusted");
    fs::permissions(place.journal, fs::perms(0600));
    place.folder.file("lib/hooks.journal", "x");
    CHECK(place.file.read().error().id == "journal.damaged");
    REQUIRE(place.file.set_aside());
    CHECK((place.file.read().value() == std::nullopt));
    CHECK(fs::exists(place.journal.string() + ".damaged"));
    os::reap_finished();
}

TEST_CASE("guest-linux/journal: what cannot be written says so and leaves the old one whole") {
    Place place;
    REQUIRE(place.file.lock());
    REQUIRE(place.file.write(owed));
    place.folder.folder("lib/hooks.journal.new/x");  // in the way of the next
    const Status refused = place.file.write({1, "boot", "job", {{"20-b", {}}}});
    REQUIRE(!refused);
    CHECK(refused.error().text.find("hooks.journal.new") != std::string::npos);
    CHECK((place.file.read().value() == std::optional{owed}));
    os::reap_finished();
}
