#pragma once
#include "route/backup_route.hpp"

/// Compares a disk of a running VM with a recovery point, from a snapshot of its own.
namespace stillpoint::route {

struct VerifyLivePlan {
    std::string point;  // id, prefix or VM@latest
    std::string disk;   // may be empty when the point has one
};

/// Takes a snapshot of the disk (no freeze, no new bitmap, nothing is published), reads it and
/// compares it by id with the point's block map. While the point's dirty bitmap still records, what
/// it says was written since is left out: a clean answer proves all else equal. Without it every
/// difference is reported, and `note` says that it may be a write.
/// @param options its folders and budgets
/// @return ok, or the ranges that differ
/// @errors busy, id "backup.running" · invalid, id "verify.other_vm", "verify.disk_needed",
///         "point.no_such_disk", "vm.no_such_disk" · unsupported, id "vm.not_running" · refused, id
///         "snapshot.broken": the snapshot did not last, nothing was proven · cancelled
[[nodiscard]] Result<serialization::CheckReport> run_verify_live(const BackupServices& services,
                                                                 const VerifyLivePlan& plan,
                                                                 const BackupOptions& options,
                                                                 const env::CancelToken& cancel);

}  // namespace stillpoint::route
