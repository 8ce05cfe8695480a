#include "os/trusted_path.hpp"

#include <aclapi.h>
#include <sddl.h>

#include <array>
#include <cstddef>

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {
namespace {

std::string sid_text(PSID sid) {
    wchar_t* text = nullptr;
    if (sid == nullptr || !::ConvertSidToStringSidW(sid, &text)) return {};
    std::string out = to_utf8(text);
    ::LocalFree(text);
    return out;
}

std::string name_of_sid(PSID sid) {
    std::array<wchar_t, 256> name{};
    std::array<wchar_t, 256> domain{};
    DWORD name_size = static_cast<DWORD>(name.size());
    DWORD domain_size = static_cast<DWORD>(domain.size());
    SID_NAME_USE use{};
    if (!::LookupAccountSidW(nullptr, sid, name.data(), &name_size, domain.data(), &domain_size,
                             &use)) {
        return {};
    }
    const std::string where = to_utf8(domain.data());
    return (where.empty() ? "" : where + "\\") + to_utf8(name.data());
}

void add_entries(ACL* list, PathFacts& facts) {
    for (DWORD i = 0; i < list->AceCount; ++i) {
        void* found = nullptr;
        if (!::GetAce(list, i, &found)) continue;
        const auto* header = static_cast<const ACE_HEADER*>(found);
        const BYTE type = header->AceType;
        // Conditional and object entries are laid out otherwise: what they let others do is
        // unknown.
        if (type != ACCESS_ALLOWED_ACE_TYPE) {
            if (type == ACCESS_DENIED_ACE_TYPE) continue;
            facts.entries.push_back({"of an unknown kind", {}, ~0U, false});
            continue;
        }
        auto* allowed = static_cast<ACCESS_ALLOWED_ACE*>(found);
        PSID sid = &allowed->SidStart;
        facts.entries.push_back({sid_text(sid), name_of_sid(sid), allowed->Mask,
                                 (header->AceFlags & INHERIT_ONLY_ACE) != 0});
    }
}

DWORD access_of(bool last, TrustedPath::Kind kind) {
    // The right to read is asked for so that sharing means something: a handle without it keeps
    // nobody from renaming.
    const bool file = last && kind == TrustedPath::Kind::file;
    return READ_CONTROL | FILE_READ_ATTRIBUTES | (file ? FILE_READ_DATA : FILE_LIST_DIRECTORY);
}

/// @param file nobody may write it meanwhile; into a folder somebody may
Result<Handle> open_part(const std::string& part, DWORD access, bool file) {
    const DWORD share = FILE_SHARE_READ | (file ? 0 : FILE_SHARE_WRITE);
    Handle opened{::CreateFileW(to_wide(part).c_str(), access, share, nullptr, OPEN_EXISTING,
                                FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT,
                                nullptr)};
    if (opened.valid()) return opened;
    const DWORD error = ::GetLastError();
    if (error == ERROR_SHARING_VIOLATION) {
        return fail(Errc::denied, "hook.untrusted", part + " is open for writing",
                    "see who has it open: Get-Process, or handle.exe of Sysinternals");
    }
    return call_failed("open " + part, error);
}

}  // namespace

Result<PathFacts> facts_of(HANDLE opened, const std::string& path) {
    PathFacts facts;
    facts.path = path;
    FILE_ATTRIBUTE_TAG_INFO attributes{};
    if (!::GetFileInformationByHandleEx(opened, FileAttributeTagInfo, &attributes,
                                        sizeof attributes)) {
        return call_failed("look at " + path);
    }
    facts.link = (attributes.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
    PSID owner = nullptr;
    ACL* list = nullptr;
    PSECURITY_DESCRIPTOR descriptor = nullptr;
    const DWORD done = ::GetSecurityInfo(opened, SE_FILE_OBJECT,
                                         OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                         &owner, nullptr, &list, nullptr, &descriptor);
    if (done != ERROR_SUCCESS) return call_failed("read the permissions of " + path, done);
    facts.owner = sid_text(owner);
    facts.open_to_all = list == nullptr;
    if (list != nullptr) add_entries(list, facts);
    ::LocalFree(descriptor);
    return facts;
}

Result<TrustedPath> TrustedPath::open(const std::string& path, Kind kind, const TrustRules& rules) {
    SP_ASSIGN(const std::vector<std::string> parts, parts_of_path(path));
    TrustedPath trusted;
    trusted.path_ = path;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool last = i + 1 == parts.size();
        const bool file = last && kind == Kind::file;
        SP_ASSIGN(Handle part, open_part(parts[i], access_of(last, kind), file));
        SP_ASSIGN(const PathFacts facts, facts_of(part.get(), parts[i]));
        const bool holds_it = last || (kind == Kind::file && i + 2 == parts.size());
        const PathRole above = holds_it ? PathRole::folder : PathRole::above;
        SP_TRY(judge_path(facts, file ? PathRole::file : above, rules));
        trusted.parts_.push_back(std::move(part));
    }
    BY_HANDLE_FILE_INFORMATION facts{};
    if (!::GetFileInformationByHandle(trusted.parts_.back().get(), &facts)) {
        return call_failed("look at " + path);
    }
    const bool is_folder = (facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    if (is_folder != (kind == Kind::folder)) {
        return fail(Errc::denied, "hook.untrusted",
                    path + (is_folder ? " is a folder" : " is no folder"), {});
    }
    return trusted;
}

Result<std::string> TrustedPath::read(std::size_t bytes_max) const {
    std::string text(bytes_max + 1, '\0');
    std::size_t taken = 0;
    if (!::SetFilePointerEx(parts_.back().get(), {}, nullptr, FILE_BEGIN)) {
        return call_failed("read " + path_);
    }
    for (;;) {
        DWORD got = 0;
        const auto room = static_cast<DWORD>(text.size() - taken);
        if (!::ReadFile(parts_.back().get(), text.data() + taken, room, &got, nullptr)) {
            return call_failed("read " + path_);
        }
        taken += got;
        if (taken > bytes_max) {
            return fail(Errc::no_space, "os.too_long",
                        path_ + " is longer than " + std::to_string(bytes_max) + " bytes");
        }
        if (got == 0) break;
    }
    text.resize(taken);
    return text;
}

TrustRules trust_of_process() {
    HANDLE raw = nullptr;
    if (!::OpenProcessToken(::GetCurrentProcess(), TOKEN_QUERY, &raw)) return {};
    const Handle token{raw};
    std::array<std::max_align_t, 16> room{};
    DWORD bytes = 0;
    if (!::GetTokenInformation(token.get(), TokenUser, room.data(), sizeof room, &bytes)) return {};
    void* const user = room.data();
    return {sid_text(static_cast<TOKEN_USER*>(user)->User.Sid)};
}

Result<std::vector<std::string>> list_trusted(const std::string& folder, const TrustRules& rules) {
    if (::GetFileAttributesW(to_wide(folder).c_str()) == INVALID_FILE_ATTRIBUTES) {
        return call_failed("look at " + folder);
    }
    SP_ASSIGN([[maybe_unused]] const TrustedPath held,
              TrustedPath::open(folder, TrustedPath::Kind::folder, rules));
    std::vector<std::string> names;
    WIN32_FIND_DATAW found{};
    const HANDLE search = ::FindFirstFileW(to_wide(folder + "\\*").c_str(), &found);
    if (search == INVALID_HANDLE_VALUE) return call_failed("list " + folder);
    do {
        std::string name = to_utf8(found.cFileName);
        if (name != "." && name != "..") names.push_back(std::move(name));
    } while (::FindNextFileW(search, &found));
    const DWORD error = ::GetLastError();
    ::FindClose(search);
    if (error != ERROR_NO_MORE_FILES) return call_failed("list " + folder, error);
    return names;
}

Result<std::string> read_trusted(const std::string& file, std::size_t bytes_max,
                                 const TrustRules& rules) {
    SP_ASSIGN(const TrustedPath opened, TrustedPath::open(file, TrustedPath::Kind::file, rules));
    return opened.read(bytes_max);
}

}  // namespace stillpoint::windows_guest::os
