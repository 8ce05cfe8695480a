#include "os/data_folder.hpp"

#include <aclapi.h>
#include <sddl.h>

#include <array>

#include "os/com.hpp"
#include "os/trusted_path.hpp"

namespace stillpoint::windows_guest::os {
namespace {

// Owner and full control: administrators and the system. Not inherited from above, where users may
// make what they like.
constexpr const wchar_t* who_may = L"O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

std::string registry_text(const wchar_t* key, const wchar_t* value) {
    std::array<wchar_t, MAX_PATH> text{};
    DWORD bytes = sizeof text - sizeof(wchar_t);
    const LSTATUS got =
        ::RegGetValueW(HKEY_LOCAL_MACHINE, key, value, RRF_RT_REG_SZ, nullptr, text.data(), &bytes);
    return got == ERROR_SUCCESS ? to_utf8(text.data()) : std::string{};
}

/// A security descriptor made from text, freed at the end.
class Descriptor {
public:
    explicit Descriptor(const wchar_t* text) {
        ::ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &descriptor_,
                                                               nullptr);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { ::LocalFree(descriptor_); }
    [[nodiscard]] PSECURITY_DESCRIPTOR get() const { return descriptor_; }
    [[nodiscard]] ACL* list() const {
        ACL* found = nullptr;
        BOOL present = FALSE;
        BOOL defaulted = FALSE;
        ::GetSecurityDescriptorDacl(descriptor_, &present, &found, &defaulted);
        return found;
    }

private:
    PSECURITY_DESCRIPTOR descriptor_ = nullptr;
};

/// Of a folder that was there: whose it is, then who may write it.
Status put_right(const std::string& folder, const Descriptor& wanted) {
    const Handle opened{::CreateFileW(to_wide(folder).c_str(), READ_CONTROL | WRITE_DAC,
                                      FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr, OPEN_EXISTING,
                                      FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT,
                                      nullptr)};
    if (!opened.valid()) return call_failed("open " + folder);
    SP_ASSIGN(PathFacts facts, facts_of(opened.get(), folder));
    facts.entries.clear();
    facts.open_to_all = false;
    SP_TRY(judge_path(facts, PathRole::folder, trust_of_process()));
    const DWORD done =
        ::SetSecurityInfo(opened.get(), SE_FILE_OBJECT,
                          DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, nullptr,
                          nullptr, wanted.list(), nullptr);
    if (done != ERROR_SUCCESS) return call_failed("set the permissions of " + folder, done);
    return {};
}

Status make_one(const std::string& folder, const Descriptor& wanted) {
    SECURITY_ATTRIBUTES rules{sizeof rules, wanted.get(), FALSE};
    if (::CreateDirectoryW(to_wide(folder).c_str(), &rules)) return {};
    const DWORD error = ::GetLastError();
    if (error != ERROR_ALREADY_EXISTS) return call_failed("create " + folder, error);
    return put_right(folder, wanted);
}

}  // namespace

std::string windows_folder() {
    std::array<wchar_t, MAX_PATH> path{};
    ::GetSystemWindowsDirectoryW(path.data(), static_cast<UINT>(path.size()));
    return to_utf8(path.data());
}

std::string data_folder() {
    constexpr const wchar_t* profiles =
        LR"(SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList)";
    std::string above = registry_text(profiles, L"ProgramData");
    if (above.empty()) above = windows_folder().substr(0, 3) + "ProgramData";
    return above + "\\Stillpoint";
}

Status make_data_folder(const std::string& folder) {
    const Descriptor wanted{who_may};
    if (wanted.get() == nullptr) return call_failed("the permissions of " + folder);
    SP_TRY(make_one(folder, wanted));
    return make_one(folder + "\\hooks.d", wanted);
}

}  // namespace stillpoint::windows_guest::os
