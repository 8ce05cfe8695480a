#include "os/com_security.hpp"

#include <windows.h>
// after windows.h
#include <objidl.h>
#include <sddl.h>

#include <array>
#include <vector>

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {
namespace {

// 0x3: execute and execute locally.
constexpr const wchar_t* callers =
    L"O:BAG:BAD:(A;;0x3;;;SY)(A;;0x3;;;BA)(A;;0x3;;;BO)(A;;0x3;;;NS)(A;;0x3;;;LS)";

/// A descriptor in the absolute form that COM wants, and the pieces it points into.
class AbsoluteDescriptor {
public:
    bool make(const wchar_t* text) {
        PSECURITY_DESCRIPTOR relative = nullptr;
        if (!::ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1,
                                                                    &relative, nullptr)) {
            return false;
        }
        std::array<DWORD, 5> sizes{};
        ::MakeAbsoluteSD(relative, nullptr, sizes.data(), nullptr, &sizes[1], nullptr, &sizes[2],
                         nullptr, &sizes[3], nullptr, &sizes[4]);
        for (std::size_t i = 0; i < sizes.size(); ++i) pieces_[i].resize(sizes[i]);
        const bool made = ::MakeAbsoluteSD(relative, get(), sizes.data(), piece<ACL>(1), &sizes[1],
                                           piece<ACL>(2), &sizes[2], pieces_[3].data(), &sizes[3],
                                           pieces_[4].data(), &sizes[4]) != 0;
        ::LocalFree(relative);
        return made;
    }
    [[nodiscard]] PSECURITY_DESCRIPTOR get() { return pieces_[0].data(); }

private:
    template <class T>
    T* piece(std::size_t index) {
        void* const raw = pieces_[index].data();
        return static_cast<T*>(raw);
    }
    std::array<std::vector<std::byte>, 5> pieces_;  // descriptor, dacl, sacl, owner, group
};

}  // namespace

Status initialize_com_security() {
    AbsoluteDescriptor allowed;
    if (!allowed.make(callers)) {
        return fail(Errc::denied, "vss.com_security",
                    "the rules for COM callers: " + windows_error(::GetLastError()));
    }
    const HRESULT done =
        ::CoInitializeSecurity(allowed.get(), -1, nullptr, nullptr, RPC_C_AUTHN_LEVEL_PKT_PRIVACY,
                               RPC_C_IMP_LEVEL_IDENTIFY, nullptr, EOAC_DYNAMIC_CLOAKING, nullptr);
    if (SUCCEEDED(done)) {
        // A crash in a callback is to end the process, not to be swallowed by COM.
        ComPtr<IGlobalOptions> options;
        if (SUCCEEDED(::CoCreateInstance(CLSID_GlobalOptions, nullptr, CLSCTX_INPROC_SERVER,
                                         __uuidof(IGlobalOptions),
                                         reinterpret_cast<void**>(options.out())))) {
            options->Set(COMGLB_EXCEPTION_HANDLING, COMGLB_EXCEPTION_DONOT_HANDLE);
        }
        return {};
    }
    return fail(Errc::denied, "vss.com_security",
                "COM does not take the rules for its callers: " +
                    windows_error(static_cast<unsigned long>(done)));
}

}  // namespace stillpoint::windows_guest::os
