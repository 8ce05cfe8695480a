#include "vss/vss_library.hpp"

#include <vsserror.h>

#include <cstddef>
#include <type_traits>

namespace stillpoint::windows_guest {
namespace {

// What was compared against an independent transcription of the SDK, kept from changing unseen.
static_assert(sizeof(void*) == 8 && sizeof(VSS_ID) == 16);
static_assert(sizeof(VSS_SNAPSHOT_PROP) == 128);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszSnapshotDeviceObject) == 40);
static_assert(sizeof(VSS_WRITER_STATE) == 4 && sizeof(boolean) == 1);
static_assert(std::is_abstract_v<IVssBackupComponents> &&
              !std::has_virtual_destructor_v<IVssBackupComponents>);

// vss_codes.hpp says the same as the system's headers.
constexpr bool is(Hresult ours, HRESULT system) {
    return ours == static_cast<Hresult>(system);
}
static_assert(is(vss::async_finished, VSS_S_ASYNC_FINISHED));
static_assert(is(vss::async_pending, VSS_S_ASYNC_PENDING));
static_assert(is(vss::async_cancelled, VSS_S_ASYNC_CANCELLED));
static_assert(is(vss::bad_state, VSS_E_BAD_STATE));
static_assert(is(vss::provider_veto, VSS_E_PROVIDER_VETO));
static_assert(is(vss::object_not_found, VSS_E_OBJECT_NOT_FOUND));
static_assert(is(vss::provider_not_registered, VSS_E_PROVIDER_NOT_REGISTERED));
static_assert(is(vss::volume_not_supported, VSS_E_VOLUME_NOT_SUPPORTED));
static_assert(is(vss::volume_not_supported_by_provider, VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER));
static_assert(is(vss::unexpected_provider_error, VSS_E_UNEXPECTED_PROVIDER_ERROR));
static_assert(is(vss::flush_writes_timeout, VSS_E_FLUSH_WRITES_TIMEOUT));
static_assert(is(vss::hold_writes_timeout, VSS_E_HOLD_WRITES_TIMEOUT));
static_assert(is(vss::snapshot_set_in_progress, VSS_E_SNAPSHOT_SET_IN_PROGRESS));
static_assert(is(vss::writer_infrastructure, VSS_E_WRITER_INFRASTRUCTURE));
static_assert(is(vss::writer_not_responding, VSS_E_WRITER_NOT_RESPONDING));
static_assert(is(vss::unsupported_context, VSS_E_UNSUPPORTED_CONTEXT));
static_assert(is(vss::inconsistent_snapshot, VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT));
static_assert(is(vss::writer_timeout, VSS_E_WRITERERROR_TIMEOUT));
static_assert(is(vss::writer_retryable, VSS_E_WRITERERROR_RETRYABLE));
static_assert(is(vss::writer_nonretryable, VSS_E_WRITERERROR_NONRETRYABLE));
static_assert(is(vss::partial_failure, VSS_E_WRITERERROR_PARTIAL_FAILURE));
static_assert(is(vss::writer_status_not_available, VSS_E_WRITER_STATUS_NOT_AVAILABLE));
static_assert(static_cast<int>(WriterState::failed_at_backup_shutdown) ==
              VSS_WS_FAILED_AT_BACKUPSHUTDOWN);
static_assert(static_cast<int>(WriterState::waiting_for_backup_complete) ==
              VSS_WS_WAITING_FOR_BACKUP_COMPLETE);
static_assert(static_cast<int>(WriterState::failed_at_freeze) == VSS_WS_FAILED_AT_FREEZE);
static_assert(writer_state_count == VSS_WS_COUNT);

using Create = HRESULT(STDAPICALLTYPE*)(IVssBackupComponents**);

// Windows exports both; the plain one is what Wine has as well.
constexpr const char* create_names[] = {
    "CreateVssBackupComponentsInternal",
    "?CreateVssBackupComponents@@YAJPEAPEAVIVssBackupComponents@@@Z"};

Create find_create() {
    static const HMODULE library =
        ::LoadLibraryExW(L"vssapi.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (library == nullptr) return nullptr;
    for (const char* name : create_names) {
        const FARPROC found = ::GetProcAddress(library, name);
        const void* const raw = reinterpret_cast<const void*>(found);
        if (raw != nullptr) return reinterpret_cast<Create>(const_cast<void*>(raw));
    }
    return nullptr;
}

}  // namespace

VssResult<IVssBackupComponents*> create_backup_components() {
    static const Create create = find_create();
    const VssError missing{"vssapi.dll", vss::library_missing, {}};
    if (create == nullptr) return tl::unexpected(missing);
    IVssBackupComponents* made = nullptr;
    const HRESULT result = create(&made);
    if (FAILED(result) || made == nullptr) {
        return tl::unexpected(
            VssError{"CreateVssBackupComponents", static_cast<Hresult>(result), {}});
    }
    return made;
}

}  // namespace stillpoint::windows_guest
