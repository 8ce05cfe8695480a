#include "provider/registration.hpp"

#include <windows.h>
// after windows.h
#include <sddl.h>
#include <vsadmin.h>
#include <vss.h>
#include <vsserror.h>

#include <string>
#include <vector>

#include "os/com.hpp"
#include "os/data_folder.hpp"
#include "os/event_log.hpp"
#include "provider/provider_ids.hpp"
#include "vss/vss_backup.hpp"

namespace stillpoint::windows_guest {
namespace {

constexpr const wchar_t* service_name = L"stillpoint-guest";
constexpr const wchar_t* provider_name = L"Stillpoint";
constexpr const wchar_t* state_key = LR"(SOFTWARE\Stillpoint\Guest)";
constexpr const wchar_t* old_start_value = L"VssStartType";
// Launch, activate and execute, on this machine: the system and administrators, nobody else.
constexpr const wchar_t* who_may_call = L"O:BAG:BAD:(A;;0xb;;;SY)(A;;0xb;;;BA)";

tl::unexpected<Error> failed(const std::string& what, DWORD error) {
    const Errc code = error == ERROR_ACCESS_DENIED ? Errc::denied : Errc::io;
    return fail(code, "vss.registration", what + ": " + os::windows_error(error),
                "run it as an administrator");
}

std::wstring class_key(const wchar_t* kind) {
    return LR"(SOFTWARE\Classes\)" + std::wstring(kind) + L"\\" +
           os::to_wide(os::guid_text(provider_class_id));
}

Status set_text(const std::wstring& key, const wchar_t* value, const std::wstring& text) {
    const auto bytes = static_cast<DWORD>((text.size() + 1) * sizeof(wchar_t));
    const LSTATUS done =
        ::RegSetKeyValueW(HKEY_LOCAL_MACHINE, key.c_str(), value, REG_SZ, text.c_str(), bytes);
    if (done != ERROR_SUCCESS) return failed("the registry", static_cast<DWORD>(done));
    return {};
}

Status set_permission(const std::wstring& key, const wchar_t* value) {
    PSECURITY_DESCRIPTOR descriptor = nullptr;
    ULONG bytes = 0;
    if (!::ConvertStringSecurityDescriptorToSecurityDescriptorW(who_may_call, SDDL_REVISION_1,
                                                                &descriptor, &bytes)) {
        return failed("the permissions of the provider", ::GetLastError());
    }
    const LSTATUS done =
        ::RegSetKeyValueW(HKEY_LOCAL_MACHINE, key.c_str(), value, REG_BINARY, descriptor, bytes);
    ::LocalFree(descriptor);
    if (done != ERROR_SUCCESS) return failed("the registry", static_cast<DWORD>(done));
    return {};
}

Status register_class() {
    const std::wstring app = class_key(L"AppID");
    const std::wstring id = os::to_wide(os::guid_text(provider_class_id));
    SP_TRY(set_text(class_key(L"CLSID"), nullptr, L"Stillpoint snapshot provider"));
    SP_TRY(set_text(class_key(L"CLSID"), L"AppID", id));
    SP_TRY(set_text(app, nullptr, L"Stillpoint snapshot provider"));
    SP_TRY(set_text(app, L"LocalService", service_name));
    SP_TRY(set_permission(app, L"LaunchPermission"));
    return set_permission(app, L"AccessPermission");
}

Result<os::ComPtr<IVssAdmin>> vss_admin() {
    os::ComPtr<IVssAdmin> admin;
    void* made = nullptr;
    const HRESULT done =
        ::CoCreateInstance(CLSID_VSSCoordinator, nullptr, CLSCTX_ALL, IID_IVssAdmin, &made);
    if (FAILED(done)) return fail(describe({"VSSCoordinator", static_cast<Hresult>(done), {}}));
    *admin.out() = static_cast<IVssAdmin*>(made);
    return admin;
}

/// A new release registers anew: its version's id is another.
Status register_with_vss() {
    SP_ASSIGN(const auto admin, vss_admin());
    std::wstring name{provider_name};
    std::wstring version = os::to_wide(STILLPOINT_VERSION);
    const auto add = [&] {
        return admin->RegisterProvider(provider_id, provider_class_id, name.data(),
                                       VSS_PROV_SOFTWARE, version.data(), provider_version_id);
    };
    HRESULT done = add();
    if (done == VSS_E_PROVIDER_ALREADY_REGISTERED) {
        admin->UnregisterProvider(provider_id);
        done = add();
    }
    if (SUCCEEDED(done)) return {};
    return fail(describe({"RegisterProvider", static_cast<Hresult>(done), {}}));
}

/// A service of Windows, closed at the end.
class VssService {
public:
    VssService()
        : manager_(::OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT)),
          service_(manager_ == nullptr
                       ? nullptr
                       : ::OpenServiceW(manager_, L"VSS",
                                        SERVICE_QUERY_CONFIG | SERVICE_CHANGE_CONFIG)) {}
    VssService(const VssService&) = delete;
    VssService& operator=(const VssService&) = delete;
    ~VssService() {
        if (service_ != nullptr) ::CloseServiceHandle(service_);
        if (manager_ != nullptr) ::CloseServiceHandle(manager_);
    }
    [[nodiscard]] bool found() const { return service_ != nullptr; }
    [[nodiscard]] Result<DWORD> start_type() const {
        DWORD bytes = 0;
        ::QueryServiceConfigW(service_, nullptr, 0, &bytes);
        std::vector<std::max_align_t> room(bytes / sizeof(std::max_align_t) + 1);
        void* const raw = room.data();
        auto* const config = static_cast<QUERY_SERVICE_CONFIGW*>(raw);
        if (!::QueryServiceConfigW(service_, config, bytes, &bytes)) {
            return failed("the service VSS", ::GetLastError());
        }
        return config->dwStartType;
    }
    [[nodiscard]] Status set_start_type(DWORD type) const {
        if (::ChangeServiceConfigW(service_, SERVICE_NO_CHANGE, type, SERVICE_NO_CHANGE, nullptr,
                                   nullptr, nullptr, nullptr, nullptr, nullptr, nullptr)) {
            return {};
        }
        return failed("the start type of the service VSS", ::GetLastError());
    }

private:
    SC_HANDLE manager_;
    SC_HANDLE service_;
};

Status start_vss_with_windows() {
    const VssService service;
    if (!service.found()) return failed("the service VSS", ::GetLastError());
    SP_ASSIGN(const DWORD type, service.start_type());
    if (type == SERVICE_DISABLED) return fail(describe({"VSS", vss::service_disabled, {}}));
    if (type != SERVICE_DEMAND_START) return {};
    const LSTATUS kept = ::RegSetKeyValueW(HKEY_LOCAL_MACHINE, state_key, old_start_value,
                                           REG_DWORD, &type, sizeof type);
    if (kept != ERROR_SUCCESS) return failed("the registry", static_cast<DWORD>(kept));
    return service.set_start_type(SERVICE_AUTO_START);
}

/// Only what we changed, and only if nobody has changed it since.
Status restore_vss_start() {
    DWORD old = 0;
    DWORD bytes = sizeof old;
    if (::RegGetValueW(HKEY_LOCAL_MACHINE, state_key, old_start_value, RRF_RT_REG_DWORD, nullptr,
                       &old, &bytes) != ERROR_SUCCESS) {
        return {};
    }
    const VssService service;
    if (!service.found()) return failed("the service VSS", ::GetLastError());
    SP_ASSIGN(const DWORD now, service.start_type());
    if (now == SERVICE_AUTO_START) SP_TRY(service.set_start_type(old));
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, state_key);
    return {};
}

Status unregister_with_vss() {
    SP_ASSIGN(const auto admin, vss_admin());
    const HRESULT done = admin->UnregisterProvider(provider_id);
    if (SUCCEEDED(done) || done == VSS_E_OBJECT_NOT_FOUND) return {};
    return fail(describe({"UnregisterProvider", static_cast<Hresult>(done), {}}));
}

}  // namespace

Status register_provider() {
    // Neither needs the other: where VSS is broken, hooks and configuration still have their place.
    const Status folder = os::make_data_folder(os::data_folder());
    SP_TRY(os::register_event_source());
    SP_TRY(register_class());
    SP_TRY(start_vss_with_windows());
    SP_TRY(register_with_vss());
    return folder;
}

Status unregister_provider() {
    Status first = unregister_with_vss();
    if (const Status restored = restore_vss_start(); !restored && first) first = restored;
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, class_key(L"CLSID").c_str());
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, class_key(L"AppID").c_str());
    os::unregister_event_source();
    return first;
}

}  // namespace stillpoint::windows_guest
