#include "hooks/journal_file.hpp"

#include <array>

#include "os/com.hpp"

namespace stillpoint::windows_guest {
namespace {

using os::call_failed;
using os::Handle;
using os::to_wide;

Status write_whole(const std::string& path, const std::string& text) {
    const Handle file{::CreateFileW(to_wide(path).c_str(), GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS,
                                    FILE_FLAG_WRITE_THROUGH, nullptr)};
    if (!file.valid()) return call_failed("create " + path);
    DWORD wrote = 0;
    if (!::WriteFile(file.get(), text.data(), static_cast<DWORD>(text.size()), &wrote, nullptr) ||
        wrote != text.size()) {
        return call_failed("write " + path);
    }
    if (!::FlushFileBuffers(file.get())) return call_failed("sync " + path);
    return {};
}

Status rename_durably(const std::string& from, const std::string& to) {
    if (::MoveFileExW(to_wide(from).c_str(), to_wide(to).c_str(),
                      MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
        return {};
    }
    return call_failed("rename " + from);
}

}  // namespace

Status HookJournalFile::lock() {
    if (lock_.valid()) return {};
    SP_ASSIGN(os::TrustedPath place,
              os::TrustedPath::open(folder_, os::TrustedPath::Kind::folder, trust_));
    Handle file{::CreateFileW(to_wide(lock_path_).c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr,
                              OPEN_ALWAYS, 0, nullptr)};
    const DWORD error = file.valid() ? ERROR_SUCCESS : ::GetLastError();
    if (error == ERROR_SHARING_VIOLATION) {
        return fail(Errc::busy, "journal.locked", "another stillpoint-guest holds " + lock_path_,
                    "end it");
    }
    if (!file.valid()) return call_failed("open " + lock_path_, error);
    place_ = std::move(place);
    lock_ = std::move(file);
    return {};
}

Result<std::optional<quiesce::HookJournal>> HookJournalFile::read() {
    const auto text = os::read_trusted(journal_, quiesce::hook_journal_bytes_max, trust_);
    if (!text && text.error().code == Errc::not_found) return std::nullopt;
    if (!text) return fail(text.error());
    SP_ASSIGN(quiesce::HookJournal journal, quiesce::decode_hook_journal(*text));
    if (journal.hooks.empty()) return std::nullopt;
    return std::optional{std::move(journal)};
}

/// One that owes nothing is written before it is removed: a power cut may bring a removed file
/// back.
Status HookJournalFile::write(const quiesce::HookJournal& journal) {
    const std::string next = journal_ + ".new";
    SP_TRY(write_whole(next, quiesce::encode_hook_journal(journal)));
    SP_TRY(rename_durably(next, journal_));
    if (journal.hooks.empty() && !::DeleteFileW(to_wide(journal_).c_str())) {
        return call_failed("remove " + journal_);
    }
    return {};
}

Status HookJournalFile::set_aside() {
    return rename_durably(journal_, journal_ + ".damaged");
}

/// A key of the registry that Windows forgets when it ends.
Result<std::string> boot_id() {
    // First the key above, which lasts: one that is made on the way would be forgotten as well,
    // with what registration.cpp keeps in it.
    HKEY above = nullptr;
    LSTATUS opened = ::RegCreateKeyExW(HKEY_LOCAL_MACHINE, LR"(SOFTWARE\Stillpoint\Guest)", 0,
                                       nullptr, 0, KEY_READ | KEY_WRITE, nullptr, &above, nullptr);
    if (opened != ERROR_SUCCESS) {
        return call_failed("open the registry", static_cast<DWORD>(opened));
    }
    HKEY key = nullptr;
    opened = ::RegCreateKeyExW(above, L"Boot", 0, nullptr, REG_OPTION_VOLATILE,
                               KEY_READ | KEY_WRITE, nullptr, &key, nullptr);
    ::RegCloseKey(above);
    if (opened != ERROR_SUCCESS) {
        return call_failed("open the registry", static_cast<DWORD>(opened));
    }
    std::array<wchar_t, 64> text{};
    DWORD bytes = sizeof text - sizeof(wchar_t);
    LSTATUS done = ::RegGetValueW(key, nullptr, L"Id", RRF_RT_REG_SZ, nullptr, text.data(), &bytes);
    std::string id = done == ERROR_SUCCESS ? os::to_utf8(text.data()) : std::string{};
    GUID made{};
    if (id.empty() && SUCCEEDED(::CoCreateGuid(&made))) {
        id = os::guid_text(made);
        const std::wstring wide = to_wide(id);
        done = ::RegSetKeyValueW(key, nullptr, L"Id", REG_SZ, wide.c_str(),
                                 static_cast<DWORD>((wide.size() + 1) * sizeof(wchar_t)));
    }
    ::RegCloseKey(key);
    if (done != ERROR_SUCCESS) return call_failed("the registry", static_cast<DWORD>(done));
    return id;
}

}  // namespace stillpoint::windows_guest
