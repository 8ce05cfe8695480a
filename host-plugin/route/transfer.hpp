#pragma once
#include <optional>
#include <string>
#include <vector>

#include "route/audit.hpp"
#include "route/decide.hpp"
#include "route/services.hpp"

/// The second phase: all disks in parallel from their frozen views into the run.
namespace stillpoint::route {

struct DiskTransfer {
    vault::DiskRoot root;
    std::uint64_t read_bytes = 0;  // the audit's own not counted
    vault::WriteCounts counts;
    serialization::DiskMode mode = serialization::DiskMode::full;  // no increment any more when
    std::string reason;                                            // tracking proved wrong
    std::optional<AuditResult> audit;                              // of an increment's clean blocks
};

struct TransferPlan {
    const std::vector<DiskDecision>& disks;
    const std::vector<hypervisor::DiskExport>& exports;
    AuditOptions audit;
};

/// Reads what each decision says and writes it into the run; after the last read of a disk one more
/// read proves that its view still answers. Before that an increment's clean blocks are audited,
/// and the image must be no other disk's; else the whole disk is compared, from the same view.
/// @return one result per decision, in their order
/// @errors of the first disk that failed; the others are cancelled
[[nodiscard]] Result<std::vector<DiskTransfer>> transfer_disks(const BackupServices& services,
                                                               const TransferPlan& plan,
                                                               vault::Run& run,
                                                               const env::CancelToken& cancel);

}  // namespace stillpoint::route
