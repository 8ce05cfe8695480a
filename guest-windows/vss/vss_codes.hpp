#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

/// VSS's codes and states as plain numbers, so that what is decided by them is portable and tested
/// where the code is built; vss/com_session.cpp proves that they are the system's own.
/// @source Microsoft, "VSS_WRITER_STATE" and "Volume Shadow Copy Error Codes"; vss.h, vsserror.h
namespace stillpoint::windows_guest {

using Hresult = std::uint32_t;

namespace vss {
inline constexpr Hresult ok = 0;
inline constexpr Hresult not_implemented = 0x80004001;
inline constexpr Hresult access_denied = 0x80070005;
inline constexpr Hresult library_missing = 0x8007007e;   // ERROR_MOD_NOT_FOUND
inline constexpr Hresult service_disabled = 0x80070422;  // ERROR_SERVICE_DISABLED
inline constexpr Hresult class_not_registered = 0x80040154;
inline constexpr Hresult bad_state = 0x80042301;
inline constexpr Hresult provider_not_registered = 0x80042304;
inline constexpr Hresult provider_veto = 0x80042306;
inline constexpr Hresult object_not_found = 0x80042308;
inline constexpr Hresult async_pending = 0x00042309;
inline constexpr Hresult async_finished = 0x0004230a;
inline constexpr Hresult async_cancelled = 0x0004230b;
inline constexpr Hresult volume_not_supported = 0x8004230c;
inline constexpr Hresult volume_not_supported_by_provider = 0x8004230e;
inline constexpr Hresult unexpected_provider_error = 0x8004230f;
inline constexpr Hresult too_many_volumes = 0x80042312;
inline constexpr Hresult flush_writes_timeout = 0x80042313;
inline constexpr Hresult hold_writes_timeout = 0x80042314;
inline constexpr Hresult unexpected_writer_error = 0x80042315;
inline constexpr Hresult snapshot_set_in_progress = 0x80042316;
inline constexpr Hresult too_many_snapshots = 0x80042317;
inline constexpr Hresult writer_infrastructure = 0x80042318;
inline constexpr Hresult writer_not_responding = 0x80042319;
inline constexpr Hresult unsupported_context = 0x8004231b;
inline constexpr Hresult insufficient_storage = 0x8004231f;
inline constexpr Hresult reboot_required = 0x80042327;
inline constexpr Hresult transaction_freeze_timeout = 0x80042328;
inline constexpr Hresult transaction_thaw_timeout = 0x80042329;
inline constexpr Hresult nested_volume_limit = 0x8004232c;
inline constexpr Hresult cluster_timeout = 0x8004232e;
inline constexpr Hresult partial_failure = 0x80042336;
inline constexpr Hresult inconsistent_snapshot = 0x800423f0;
inline constexpr Hresult out_of_resources = 0x800423f1;
inline constexpr Hresult writer_timeout = 0x800423f2;
inline constexpr Hresult writer_retryable = 0x800423f3;
inline constexpr Hresult writer_nonretryable = 0x800423f4;
inline constexpr Hresult writer_recovery_failed = 0x800423f5;
inline constexpr Hresult cluster_error = 0x80042400;
inline constexpr Hresult writer_status_not_available = 0x80042409;
}  // namespace vss

/// VSS_WRITER_STATE, in its order; a number behind the last is a state of a later Windows.
enum class WriterState : std::uint32_t {
    unknown,
    stable,
    waiting_for_freeze,
    waiting_for_thaw,
    waiting_for_post_snapshot,
    waiting_for_backup_complete,
    failed_at_identify,
    failed_at_prepare_backup,
    failed_at_prepare_snapshot,
    failed_at_freeze,
    failed_at_thaw,
    failed_at_post_snapshot,
    failed_at_backup_complete,
    failed_at_pre_restore,
    failed_at_post_restore,
    failed_at_backup_shutdown,
};
inline constexpr std::uint32_t writer_state_count = 16;

/// @return for example "FAILED_AT_FREEZE"; the number where the state has no name
[[nodiscard]] std::string name_of(WriterState state);

/// @return for example "VSS_E_WRITERERROR_TIMEOUT 0x800423f2"; the number where it has no name
[[nodiscard]] std::string code_text(Hresult code);

/// The Windows service in which a writer lives: what an administrator restarts.
/// @return empty: not known
[[nodiscard]] std::string_view service_of_writer(std::string_view writer);

}  // namespace stillpoint::windows_guest
