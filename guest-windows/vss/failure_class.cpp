#include "vss/failure_class.hpp"

#include <array>
#include <utility>

namespace stillpoint::windows_guest {
namespace {

constexpr std::string_view try_later = "the backup may be tried again in 10 minutes";
constexpr std::string_view restart_services =
    "restart the services EventSystem and VSS, or the machine";

constexpr auto nobody = FailureClass::Fault::nobody;
constexpr auto writers = FailureClass::Fault::writers;
constexpr auto volume = FailureClass::Fault::volume;

struct Entry {
    Hresult code;
    FailureClass meaning;
};

// clang-format off
constexpr std::array entries{
    Entry{vss::not_implemented,
          {Again::never, nobody, "vss.unavailable", "this system has no VSS", {}}},
    Entry{vss::library_missing,
          {Again::never, nobody, "vss.unavailable", "this system has no VSS", {}}},
    Entry{vss::class_not_registered,
          {Again::never, nobody, "vss.unavailable", "VSS is not registered", "repair Windows"}},
    Entry{vss::service_disabled,
          {Again::never, nobody, "vss.disabled", "the service VSS is disabled",
           "set its start type to automatic: sc config VSS start= auto"}},
    Entry{vss::access_denied,
          {Again::never, nobody, "vss.denied", "VSS does not allow this account to take backups",
           "run the service as LocalSystem"}},
    Entry{vss::bad_state, {Again::once, nobody, "vss.bad_state", "VSS is in another state", {}}},
    Entry{vss::object_not_found,
          {Again::once, volume, "vss.volume_gone", "a volume vanished", {}}},
    Entry{vss::provider_not_registered,
          {Again::repaired, nobody, "vss.provider", "the snapshot provider is not registered",
           "run stillpoint-guest.exe register-provider"}},
    Entry{vss::provider_veto,
          {Again::later, nobody, "vss.provider", "the snapshot provider refused", {}}},
    Entry{vss::unexpected_provider_error,
          {Again::later, nobody, "vss.provider", "the snapshot provider failed", {}}},
    Entry{vss::volume_not_supported,
          {Again::never, volume, "vss.volume", "VSS cannot take a snapshot of a volume", {}}},
    Entry{vss::volume_not_supported_by_provider,
          {Again::never, nobody, "vss.provider", "the snapshot provider does not know the volume",
           "run stillpoint-guest.exe register-provider"}},
    Entry{vss::too_many_volumes,
          {Again::never, nobody, "vss.volume", "more than 64 volumes", "exclude some"}},
    Entry{vss::flush_writes_timeout,
          {Again::later, nobody, "vss.busy_disks", "flushing the volumes took too long",
           try_later}},
    Entry{vss::hold_writes_timeout,
          {Again::later, nobody, "vss.busy_disks", "Windows held writes for longer than it can",
           try_later}},
    Entry{vss::unexpected_writer_error,
          {Again::once, writers, "vss.writers", "VSS lost touch with a writer", restart_services}},
    Entry{vss::snapshot_set_in_progress,
          {Again::soon, nobody, "vss.in_use", "another program takes a snapshot", try_later}},
    Entry{vss::too_many_snapshots,
          {Again::never, nobody, "vss.wrong_provider", "another provider took the snapshot", {}}},
    Entry{vss::insufficient_storage,
          {Again::never, nobody, "vss.wrong_provider", "another provider took the snapshot", {}}},
    Entry{vss::writer_infrastructure,
          {Again::rested, writers, "vss.writers", "VSS cannot reach its writers",
           restart_services}},
    Entry{vss::writer_not_responding,
          {Again::rested, writers, "vss.writers", "a writer does not answer", restart_services}},
    Entry{vss::unsupported_context,
          {Again::smaller, nobody, "vss.context", "this Windows knows no such snapshot", {}}},
    Entry{vss::reboot_required,
          {Again::never, nobody, "vss.reboot", "Windows has to be restarted first", "restart it"}},
    Entry{vss::transaction_freeze_timeout,
          {Again::smaller, nobody, "vss.transactions", "transactions could not be frozen", {}}},
    Entry{vss::transaction_thaw_timeout,
          {Again::smaller, nobody, "vss.transactions", "transactions could not be thawed", {}}},
    Entry{vss::nested_volume_limit,
          {Again::never, volume, "vss.volume", "a volume lies in a disk image on another", {}}},
    Entry{vss::cluster_timeout,
          {Again::later, nobody, "vss.cluster", "the cluster did not answer", try_later}},
    Entry{vss::cluster_error,
          {Again::later, nobody, "vss.cluster", "the cluster failed", try_later}},
    Entry{vss::async_pending,
          {Again::later, nobody, "vss.unfinished", "VSS did not finish in time", try_later}},
    Entry{vss::async_cancelled,
          {Again::never, nobody, "vss.cancelled", "the snapshot was cancelled", {}}},
};
// clang-format on

}  // namespace

FailureClass classify(Hresult code) {
    for (const Entry& entry : entries) {
        if (entry.code == code) return entry.meaning;
    }
    const bool of_a_writer = (code & 0xfffffff0u) == 0x800423f0u;
    return {Again::never, of_a_writer ? writers : nobody, "vss.failed", "VSS failed", {}};
}

}  // namespace stillpoint::windows_guest
