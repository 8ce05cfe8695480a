#include "vss/vss_codes.hpp"

#include <cstdio>
#include <utility>

namespace stillpoint::windows_guest {
namespace {

constexpr std::array<std::string_view, writer_state_count> state_names{
    "UNKNOWN",
    "STABLE",
    "WAITING_FOR_FREEZE",
    "WAITING_FOR_THAW",
    "WAITING_FOR_POST_SNAPSHOT",
    "WAITING_FOR_BACKUP_COMPLETE",
    "FAILED_AT_IDENTIFY",
    "FAILED_AT_PREPARE_BACKUP",
    "FAILED_AT_PREPARE_SNAPSHOT",
    "FAILED_AT_FREEZE",
    "FAILED_AT_THAW",
    "FAILED_AT_POST_SNAPSHOT",
    "FAILED_AT_BACKUP_COMPLETE",
    "FAILED_AT_PRE_RESTORE",
    "FAILED_AT_POST_RESTORE",
    "FAILED_AT_BACKUPSHUTDOWN"};

using CodeName = std::pair<Hresult, std::string_view>;
constexpr std::array code_names{
    CodeName{vss::not_implemented, "E_NOTIMPL"},
    CodeName{vss::access_denied, "E_ACCESSDENIED"},
    CodeName{vss::library_missing, "ERROR_MOD_NOT_FOUND"},
    CodeName{vss::service_disabled, "ERROR_SERVICE_DISABLED"},
    CodeName{vss::class_not_registered, "REGDB_E_CLASSNOTREG"},
    CodeName{vss::bad_state, "VSS_E_BAD_STATE"},
    CodeName{vss::provider_not_registered, "VSS_E_PROVIDER_NOT_REGISTERED"},
    CodeName{vss::provider_veto, "VSS_E_PROVIDER_VETO"},
    CodeName{vss::object_not_found, "VSS_E_OBJECT_NOT_FOUND"},
    CodeName{vss::async_pending, "VSS_S_ASYNC_PENDING"},
    CodeName{vss::async_cancelled, "VSS_S_ASYNC_CANCELLED"},
    CodeName{vss::volume_not_supported, "VSS_E_VOLUME_NOT_SUPPORTED"},
    CodeName{vss::volume_not_supported_by_provider, "VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER"},
    CodeName{vss::unexpected_provider_error, "VSS_E_UNEXPECTED_PROVIDER_ERROR"},
    CodeName{vss::too_many_volumes, "VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED"},
    CodeName{vss::flush_writes_timeout, "VSS_E_FLUSH_WRITES_TIMEOUT"},
    CodeName{vss::hold_writes_timeout, "VSS_E_HOLD_WRITES_TIMEOUT"},
    CodeName{vss::unexpected_writer_error, "VSS_E_UNEXPECTED_WRITER_ERROR"},
    CodeName{vss::snapshot_set_in_progress, "VSS_E_SNAPSHOT_SET_IN_PROGRESS"},
    CodeName{vss::too_many_snapshots, "VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED"},
    CodeName{vss::writer_infrastructure, "VSS_E_WRITER_INFRASTRUCTURE"},
    CodeName{vss::writer_not_responding, "VSS_E_WRITER_NOT_RESPONDING"},
    CodeName{vss::unsupported_context, "VSS_E_UNSUPPORTED_CONTEXT"},
    CodeName{vss::insufficient_storage, "VSS_E_INSUFFICIENT_STORAGE"},
    CodeName{vss::reboot_required, "VSS_E_REBOOT_REQUIRED"},
    CodeName{vss::transaction_freeze_timeout, "VSS_E_TRANSACTION_FREEZE_TIMEOUT"},
    CodeName{vss::transaction_thaw_timeout, "VSS_E_TRANSACTION_THAW_TIMEOUT"},
    CodeName{vss::nested_volume_limit, "VSS_E_NESTED_VOLUME_LIMIT"},
    CodeName{vss::cluster_timeout, "VSS_E_CLUSTER_TIMEOUT"},
    CodeName{vss::partial_failure, "VSS_E_WRITERERROR_PARTIAL_FAILURE"},
    CodeName{vss::inconsistent_snapshot, "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT"},
    CodeName{vss::out_of_resources, "VSS_E_WRITERERROR_OUTOFRESOURCES"},
    CodeName{vss::writer_timeout, "VSS_E_WRITERERROR_TIMEOUT"},
    CodeName{vss::writer_retryable, "VSS_E_WRITERERROR_RETRYABLE"},
    CodeName{vss::writer_nonretryable, "VSS_E_WRITERERROR_NONRETRYABLE"},
    CodeName{vss::writer_recovery_failed, "VSS_E_WRITERERROR_RECOVERY_FAILED"},
    CodeName{vss::cluster_error, "VSS_E_CLUSTER_ERROR"},
    CodeName{vss::writer_status_not_available, "VSS_E_WRITER_STATUS_NOT_AVAILABLE"}};

/// @source Microsoft, "In-Box VSS Writers" (the service that hosts each), SQL Server and Exchange
/// documentation
using WriterService = std::pair<std::string_view, std::string_view>;
constexpr std::array writer_services{WriterService{"ASR Writer", "VSS"},
                                     WriterService{"BITS Writer", "BITS"},
                                     WriterService{"Certificate Authority", "CertSvc"},
                                     WriterService{"COM+ REGDB Writer", "VSS"},
                                     WriterService{"DFS Replication service writer", "DFSR"},
                                     WriterService{"DHCP Jet Writer", "DHCPServer"},
                                     WriterService{"FRS Writer", "NtFrs"},
                                     WriterService{"FSRM Writer", "SrmSvc"},
                                     WriterService{"IIS Config Writer", "AppHostSvc"},
                                     WriterService{"IIS Metabase Writer", "IISADMIN"},
                                     WriterService{"Microsoft Exchange Writer", "MSExchangeIS"},
                                     WriterService{"Microsoft Hyper-V VSS Writer", "vmms"},
                                     WriterService{"MSSearch Service Writer", "WSearch"},
                                     WriterService{"NPS VSS Writer", "EventSystem"},
                                     WriterService{"NTDS", "NTDS"},
                                     WriterService{"Performance Counters Writer", "VSS"},
                                     WriterService{"Registry Writer", "VSS"},
                                     WriterService{"Shadow Copy Optimization Writer", "VSS"},
                                     WriterService{"SqlServerWriter", "SQLWriter"},
                                     WriterService{"System Writer", "CryptSvc"},
                                     WriterService{"Task Scheduler Writer", "Schedule"},
                                     WriterService{"TermServLicensing", "TermServLicensing"},
                                     WriterService{"WINS Jet Writer", "WINS"},
                                     WriterService{"WMI Writer", "Winmgmt"}};

}  // namespace

std::string name_of(WriterState state) {
    const auto number = static_cast<std::uint32_t>(state);
    if (number < state_names.size()) return std::string(state_names[number]);
    return "state " + std::to_string(number);
}

std::string code_text(Hresult code) {
    char number[16];
    std::snprintf(number, sizeof number, "0x%08x", static_cast<unsigned>(code));
    for (const auto& [known, name] : code_names) {
        if (known == code) return std::string(name) + " " + number;
    }
    return number;
}

std::string_view service_of_writer(std::string_view writer) {
    for (const auto& [name, service] : writer_services) {
        if (name == writer) return service;
    }
    return {};
}

}  // namespace stillpoint::windows_guest
