#pragma once
#include <string>
#include <vector>

#include "route/audit.hpp"
#include "route/decide.hpp"
#include "route/point_document.hpp"
#include "route/services.hpp"
#include "route/still_point.hpp"

/// The spine of a backup: quiesce, snapshot, ship what changed, publish, retire.
namespace stillpoint::route {

struct BackupOptions {
    std::string driver;              // "libvirt" or "qmp", for the record
    std::vector<std::string> disks;  // empty: all
    bool full = false;
    serialization::Level require = serialization::Level::crash;
    std::optional<ByteCount> scratch_budget;  // nullopt: a share of what is free
    env::Path jobs_folder;                    // holds one folder per job; reachable by QEMU's user
    env::Path run_folder;                     // holds the VM's lock
    StillPointOptions still_point;
    /// What the guest's writes may take for long before the backup is given up; nullopt: no limit.
    std::optional<env::Nanoseconds> write_latency_max;
    env::Nanoseconds snapshot_budget = std::chrono::seconds{30};
    env::Nanoseconds end_budget = std::chrono::seconds{30};
    AuditOptions audit;
    ComparePolicy compare;
};

/// Makes one recovery point, or leaves everything as it was: the earlier points, the bitmaps that
/// the next increment needs, and the guest (I1, I2, I6).
/// @errors busy, id "backup.running": another backup of this VM · refused, id "backup.level": below
///         `require`, nothing was transferred · refused, id "snapshot.broken" or
///         "guest.writes_suffer" · cancelled · those of the vault and the hypervisor
/// @threads one at a time per VM
[[nodiscard]] Result<serialization::PointReport> run_backup(const BackupServices& services,
                                                            const BackupOptions& options,
                                                            const env::CancelToken& cancel);

}  // namespace stillpoint::route
