#include "system_world.hpp"

#include <aclapi.h>
#include <doctest/doctest.h>
#include <windows.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "os/com.hpp"
#include "os/data_folder.hpp"

namespace stillpoint::test {
namespace {

namespace fs = std::filesystem;
int count = 0;

std::wstring helper_program() {
    std::wstring own(MAX_PATH, L'\0');
    own.resize(::GetModuleFileNameW(nullptr, own.data(), MAX_PATH));
    return own.substr(0, own.find_last_of(L'\\') + 1) + L"hook_helper.exe";
}

}  // namespace

SystemFolder::SystemFolder()
    : path_("C:\\stillpoint-test-" + std::to_string(::GetCurrentProcessId()) + "-" +
            std::to_string(++count)) {
    const Status made = windows_guest::os::make_data_folder(path_);
    if (!made) MESSAGE(made.error().text);
    REQUIRE(made);
}

SystemFolder::~SystemFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

std::string SystemFolder::write(const std::string& name, const std::string& text) const {
    const std::string path = path_ + "\\" + name;
    std::ofstream{path, std::ios::binary} << text;
    return path;
}

std::string SystemFolder::put_helper(const std::string& name) const {
    const std::string path = path_ + "\\" + name;
    REQUIRE(::CopyFileW(helper_program().c_str(), windows_guest::os::to_wide(path).c_str(), FALSE));
    return path;
}

void SystemFolder::let_everybody(const std::string& path, unsigned long right) {
    std::wstring wide = windows_guest::os::to_wide(path);
    ACL* before = nullptr;
    PSECURITY_DESCRIPTOR descriptor = nullptr;
    REQUIRE(::GetNamedSecurityInfoW(wide.data(), SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, nullptr,
                                    nullptr, &before, nullptr, &descriptor) == ERROR_SUCCESS);
    std::array<std::byte, SECURITY_MAX_SID_SIZE> everybody{};
    DWORD bytes = everybody.size();
    REQUIRE(::CreateWellKnownSid(WinWorldSid, nullptr, everybody.data(), &bytes));
    EXPLICIT_ACCESSW grant{};
    grant.grfAccessPermissions = right;
    grant.grfAccessMode = GRANT_ACCESS;
    grant.Trustee.TrusteeForm = TRUSTEE_IS_SID;
    void* const sid = everybody.data();
    grant.Trustee.ptstrName = static_cast<wchar_t*>(sid);
    ACL* after = nullptr;
    REQUIRE(::SetEntriesInAclW(1, &grant, before, &after) == ERROR_SUCCESS);
    REQUIRE(::SetNamedSecurityInfoW(wide.data(), SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, nullptr,
                                    nullptr, after, nullptr) == ERROR_SUCCESS);
    ::LocalFree(after);
    ::LocalFree(descriptor);
}

}  // namespace stillpoint::test
