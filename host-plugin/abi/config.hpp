#pragma once
#include <map>
#include <optional>
#include <string>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "env/clock.hpp"
#include "env/files.hpp"
#include "route/audit.hpp"
#include "route/decide.hpp"
#include "serialization/retention.hpp"
#include "vault/disk_cache.hpp"
#include "vault/s3/s3_config.hpp"

/// host.xml: strict; an absent or empty document means the defaults. docs/man/stillpoint-host.xml.5
namespace stillpoint::abi {

/// How hard a backup may read from a VM's disks, all of them together, and what it may cost the VM.
struct ReadLimits {
    std::optional<std::uint64_t> bytes_per_second_max;  // 0: no limit
    std::optional<ByteCount> read_ahead;                // in flight
    std::optional<env::Nanoseconds> write_latency_max;  // of the guest; zero: no limit
};

struct HostConfig {
    env::Path state_folder = "/var/lib/stillpoint";  // <state dir="">
    env::Path run_folder = "/run/stillpoint";        // <run dir="">
    env::Path scratch_folder;                        // <scratch dir="">; empty: state/jobs
    env::Nanoseconds freeze_budget = std::chrono::seconds{5};  // <guest freeze-budget="5s">, 1–30 s
    env::Nanoseconds hooks_budget = std::chrono::seconds{60};       // <guest hooks-budget="60s">
    env::Nanoseconds greet_budget = std::chrono::seconds{3};        // <guest greet-budget="3s">
    std::uint64_t guest_retries = 3;                                // <guest retries="3">, 0–10
    env::Nanoseconds guest_retry_pause = std::chrono::minutes{10};  // <guest retry-pause="10min">
    std::optional<ByteCount> scratch_budget;  // <scratch budget="">; nullopt: what is free
    env::Nanoseconds store_stall = std::chrono::minutes{10};  // <vault stall="10min">, 5 s–24 h
    vault::DataDeltas data_deltas = vault::DataDeltas::local_stores;  // <vault deltas="local">
    ReadLimits limits;                                                // <limits bandwidth="" …>
    std::map<std::string, ReadLimits> vms;    // <vm name=""><limits/></vm>; by name or uuid
    env::Path keeper;                         // <keeper path="">; empty: the installed one
    env::Path cache_folder;                   // <cache dir="">; empty: see cache_limits()
    std::uint64_t cache_bytes = 256u << 20;   // <cache size="256MiB">; 0: none
    vault::S3Config s3;                       // <s3 endpoint="" region="" …/>
    route::AuditOptions audit;                // <audit chunks="64">
    route::ComparePolicy compare;             // <audit compare-every="30d">
    serialization::RetentionRules retention;  // <retention last="" daily="" … within="" zone="">
    std::map<std::string, serialization::RetentionRules> vm_retention;  // <vm><retention …/></vm>

    /// What holds for one VM: its own values, else the general ones.
    [[nodiscard]] ReadLimits limits_of(const std::string& name, const std::string& uuid) const;
    /// A VM's own rules as a whole, else the general ones.
    [[nodiscard]] const serialization::RetentionRules& retention_of(const std::string& name,
                                                                    const std::string& uuid) const;
    /// What of an object store's metadata is kept, and where: <cache dir="">, else
    /// /var/cache/stillpoint for root, $XDG_CACHE_HOME or ~/.cache for others. nullopt: nothing
    [[nodiscard]] std::optional<vault::DiskCache::Limits> cache_limits() const;
    [[nodiscard]] env::Path jobs_folder() const {
        return scratch_folder.empty() ? state_folder / "jobs" : scratch_folder;
    }
};

/// @param name how errors call the document, e.g. /etc/stillpoint/host.xml
/// @errors invalid, id "config.invalid": with name, line and the accepted values
[[nodiscard]] Result<HostConfig> parse_host_config(const std::string& xml, const std::string& name);

}  // namespace stillpoint::abi
