#pragma once
#include <string>
#include <vector>

#include "route/decide.hpp"
#include "route/services.hpp"

/// The second phase: all disks in parallel from their frozen views into the run.
namespace stillpoint::route {

struct DiskTransfer {
    vault::DiskRoot root;
    std::uint64_t read_bytes = 0;
    vault::WriteCounts counts;
};

/// Reads what each decision says and writes it into the run; after the last read of a disk one more
/// read proves that its view still answers.
/// @return one result per decision, in their order
/// @errors of the first disk that failed; the others are cancelled
[[nodiscard]] Result<std::vector<DiskTransfer>> transfer_disks(
    const BackupServices& services, const std::vector<DiskDecision>& decisions,
    const std::vector<hypervisor::DiskExport>& exports, vault::Run& run,
    const env::CancelToken& cancel);

}  // namespace stillpoint::route
