#include "os/trusted_path.hpp"

#include <doctest/doctest.h>

#include "hooks/journal_file.hpp"
#include "os/com.hpp"
#include "os/data_folder.hpp"
#include "service/guest_config_file.hpp"
#include "system_world.hpp"

namespace stillpoint::test {
namespace {

using namespace windows_guest;
using os::TrustedPath;

std::string refusal(const std::string& path) {
    const auto opened = TrustedPath::open(path, TrustedPath::Kind::file, os::trust_of_process());
    return opened ? std::string{} : opened.error().id + ": " + opened.error().text;
}

bool holds(const std::string& text, std::string_view part) {
    CAPTURE(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("windows/system: the data folder is for the system and administrators alone") {
    const SystemFolder folder;
    for (const std::string& path : {folder.path(), folder.path() + "\\hooks.d"}) {
        CAPTURE(path);
        const os::Handle opened{::CreateFileW(os::to_wide(path).c_str(), READ_CONTROL,
                                              FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                                              OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, nullptr)};
        REQUIRE(opened.valid());
        const os::PathFacts facts = os::facts_of(opened.get(), path).value();
        CHECK(os::judge_path(facts, os::PathRole::folder, os::trust_of_process()));
        for (const os::AccessEntry& entry : facts.entries) CHECK(entry.sid != "S-1-1-0");
    }
    // Somebody has opened it up: the next start puts that right.
    SystemFolder::let_everybody(folder.path(), FILE_ALL_ACCESS);
    const std::string file = folder.write("a.txt", "x");
    CHECK(holds(refusal(file), "can be written by"));
    CHECK(os::make_data_folder(folder.path()));
    CHECK(refusal(file).empty());
}

TEST_CASE("windows/system: a file that others may write is refused, and is named") {
    const SystemFolder folder;
    const std::string file = folder.write("guest.xml", "<guest><vss type='copy'/></guest>");
    const auto trust = os::trust_of_process();
    CHECK(refusal(file).empty());
    const GuestConfig config = load_guest_config(file, trust).value();
    CHECK(config.type == serialization::BackupType::copy);
    CHECK(config.hooks_folder == folder.path() + "\\hooks.d");
    SystemFolder::let_everybody(file, GENERIC_WRITE | GENERIC_READ);
    const auto refused = load_guest_config(file, trust);
    REQUIRE(!refused);
    CHECK(refused.error().id == "config.untrusted");
    CHECK(holds(refused.error().text, file + " can be written by"));
    CHECK(holds(refused.error().remedy, "icacls \"" + file + "\""));
    CHECK(load_guest_config(folder.path() + "\\absent.xml", trust)->type == std::nullopt);
}

TEST_CASE("windows/system: a file that is open for writing is refused, and cannot be opened so") {
    const SystemFolder folder;
    const std::string file = folder.write("a.cmd", "exit 0");
    const auto open = [&](DWORD access) {
        return os::Handle{::CreateFileW(os::to_wide(file).c_str(), access,
                                        FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                        nullptr, OPEN_EXISTING, 0, nullptr)};
    };
    {
        const os::Handle writer = open(GENERIC_WRITE);
        REQUIRE(writer.valid());
        CHECK(holds(refusal(file), "is open for writing"));
    }
    const auto held = TrustedPath::open(file, TrustedPath::Kind::file, os::trust_of_process());
    REQUIRE(held);
    CHECK(held->read(100).value() == "exit 0");
    CHECK(held->read(5).error().id == "os.too_long");
    CHECK(!open(GENERIC_WRITE).valid());
    CHECK(!open(DELETE).valid());
    CHECK(open(GENERIC_READ).valid());
    CHECK(!::MoveFileW(os::to_wide(folder.path()).c_str(), L"C:\\elsewhere"));
}

TEST_CASE("windows/system: folders are told from files, and what is absent is not judged") {
    const SystemFolder folder;
    const std::string file = folder.write("a.txt", "");
    const auto trust = os::trust_of_process();
    CHECK(holds(refusal(folder.path()), "is a folder"));
    CHECK(!TrustedPath::open(file, TrustedPath::Kind::folder, trust));
    CHECK(os::list_trusted(folder.path() + "\\none", trust).error().code == Errc::not_found);
    CHECK(os::list_trusted(folder.path(), trust).value().size() == 2);
}

TEST_CASE("windows/system: the journal is whole, is for one alone, and leaves nothing behind") {
    const SystemFolder folder;
    const auto trust = os::trust_of_process();
    HookJournalFile journal{folder.path(), trust};
    CHECK(journal.lock());
    CHECK(journal.lock());
    HookJournalFile other{folder.path(), trust};
    CHECK(other.lock().error().id == "journal.locked");
    CHECK(journal.read().value() == std::nullopt);
    const quiesce::HookJournal owed{1, "boot", "job", {{"10-a", quiesce::HookStep::held}}};
    CHECK(journal.write(owed));
    CHECK(other.read().value() == owed);
    CHECK(journal.write({1, "boot", "job", {}}));
    CHECK(journal.read().value() == std::nullopt);
    CHECK(os::list_trusted(folder.path(), trust).value().size() == 2);  // the lock, hooks.d
    folder.write("hooks.journal", "no journal at all");
    CHECK(journal.read().error().id == "journal.damaged");
    CHECK(journal.set_aside());
    CHECK(journal.read().value() == std::nullopt);
}

TEST_CASE("windows/system: there is no journal where somebody else could lead it elsewhere") {
    const SystemFolder folder;
    SystemFolder::let_everybody(folder.path(), FILE_ALL_ACCESS);
    HookJournalFile journal{folder.path(), os::trust_of_process()};
    CHECK(journal.lock().error().id == "hook.untrusted");
    CHECK(::GetFileAttributesA((folder.path() + "\\hooks.lock").c_str()) ==
          INVALID_FILE_ATTRIBUTES);
}

TEST_CASE("windows/system: the boot's name is forgotten with it, and what is kept beside it not") {
    constexpr const wchar_t* kept = LR"(SOFTWARE\Stillpoint\Guest)";
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, kept);
    CHECK(boot_id().value().size() == 38);
    CHECK(boot_id().value() == boot_id().value());
    const auto make_lasting = [&](const wchar_t* name) {
        HKEY made = nullptr;
        const std::wstring path = std::wstring(kept) + L"\\" + name;
        const LSTATUS done = ::RegCreateKeyExW(HKEY_LOCAL_MACHINE, path.c_str(), 0, nullptr, 0,
                                               KEY_READ, nullptr, &made, nullptr);
        if (done == ERROR_SUCCESS) ::RegCloseKey(made);
        return done;
    };
    // Nothing that lasts can be made below what is forgotten.
    CHECK(make_lasting(L"Boot\\Lasting") == ERROR_CHILD_MUST_BE_VOLATILE);
    CHECK(make_lasting(L"Lasting") == ERROR_SUCCESS);
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, kept);
}

}  // namespace stillpoint::test
