#include "provider/registration.hpp"

#include <windows.h>
// after windows.h
#include <sddl.h>
#include <vsadmin.h>
#include <vss.h>
#include <vsserror.h>

#include <string>

#include "os/com.hpp"
#include "os/data_folder.hpp"
#include "os/event_log.hpp"
#include "os/services.hpp"
#include "provider/provider_ids.hpp"
#include "vss/vss_backup.hpp"

namespace stillpoint::windows_guest {
namespace {

constexpr const wchar_t* service_name = L"stillpoint-guest";
constexpr const char* vss_service = "VSS";
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

Status start_vss_with_windows() {
    const ServiceFact service = os::look_at_service(vss_service);
    if (service.state == ServiceFact::State::missing) {
        return failed("the service VSS", ERROR_SERVICE_DOES_NOT_EXIST);
    }
    if (service.start == ServiceFact::Start::disabled) {
        return fail(describe({"VSS", vss::service_disabled, {}}));
    }
    if (service.start != ServiceFact::Start::manual) return {};
    const DWORD type = SERVICE_DEMAND_START;
    const LSTATUS kept = ::RegSetKeyValueW(HKEY_LOCAL_MACHINE, state_key, old_start_value,
                                           REG_DWORD, &type, sizeof type);
    if (kept != ERROR_SUCCESS) return failed("the registry", static_cast<DWORD>(kept));
    return os::set_service_start(vss_service, ServiceFact::Start::automatic);
}

/// Whether VSS's start type is ours.
bool vss_start_is_changed() {
    DWORD old = 0;
    DWORD bytes = sizeof old;
    return ::RegGetValueW(HKEY_LOCAL_MACHINE, state_key, old_start_value, RRF_RT_REG_DWORD, nullptr,
                          &old, &bytes) == ERROR_SUCCESS &&
           old == SERVICE_DEMAND_START;
}

/// Only what we changed, and only if nobody has changed it since.
Status restore_vss_start() {
    if (!vss_start_is_changed()) return {};
    const ServiceFact service = os::look_at_service(vss_service);
    if (service.start == ServiceFact::Start::automatic) {
        SP_TRY(os::set_service_start(vss_service, ServiceFact::Start::manual));
    }
    ::RegDeleteTreeW(HKEY_LOCAL_MACHINE, state_key);
    return {};
}

bool key_exists(const std::wstring& key) {
    HKEY opened = nullptr;
    if (::RegOpenKeyExW(HKEY_LOCAL_MACHINE, key.c_str(), 0, KEY_READ, &opened) != ERROR_SUCCESS) {
        return false;
    }
    ::RegCloseKey(opened);
    return true;
}

/// One provider of VSS's list; its texts were allocated for us.
void take_provider(VSS_OBJECT_PROP& object, ProviderFact& fact) {
    VSS_PROVIDER_PROP& found = object.Obj.Prov;
    if (os::same_guid(found.m_ProviderId, provider_id)) {
        fact.version = os::to_utf8(found.m_pwszProviderVersion);
    }
    ::CoTaskMemFree(found.m_pwszProviderName);
    ::CoTaskMemFree(found.m_pwszProviderVersion);
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

ProviderFact look_at_provider() {
    ProviderFact fact;
    fact.known_to_com = key_exists(class_key(L"CLSID")) && key_exists(class_key(L"AppID"));
    auto admin = vss_admin();
    if (!admin) {
        fact.problem = std::move(admin).error();
        return fact;
    }
    os::ComPtr<IVssEnumObject> list;
    const HRESULT asked = (*admin)->QueryProviders(list.out());
    if (FAILED(asked)) {
        fact.problem = describe({"QueryProviders", static_cast<Hresult>(asked), {}});
        return fact;
    }
    constexpr int providers_max = 64;  // VSS itself has one, others bring one each
    for (int i = 0; i < providers_max; ++i) {
        VSS_OBJECT_PROP object{};
        ULONG count = 0;
        if (list->Next(1, &object, &count) != S_OK || count != 1) break;
        if (object.Type == VSS_OBJECT_PROVIDER) take_provider(object, fact);
    }
    return fact;
}

std::vector<std::string> list_changes() {
    std::vector<std::string> all;
    const ServiceFact own = os::look_at_service(own_service);
    if (own.state != ServiceFact::State::missing) {
        all.emplace_back("the service stillpoint-guest (--unregisterService takes it back)");
    }
    constexpr const char* taken_back = " (unregister-provider takes it back)";
    if (key_exists(class_key(L"CLSID"))) {
        all.push_back("the snapshot provider " + os::guid_text(provider_class_id) +
                      ": its class in COM, its entry in VSS's list" + taken_back);
    }
    if (os::event_source_exists()) {
        all.push_back(std::string("the source stillpoint-guest of the event log") + taken_back);
    }
    if (vss_start_is_changed() &&
        os::look_at_service(vss_service).start == ServiceFact::Start::automatic) {
        all.push_back(std::string("the service VSS starts with Windows, before on demand") +
                      taken_back);
    }
    return all;
}

}  // namespace stillpoint::windows_guest
