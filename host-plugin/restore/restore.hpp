#pragma once
#include <functional>
#include <string>
#include <vector>

#include "env/cancel.hpp"
#include "env/files.hpp"
#include "vault/vault.hpp"

/// Brings a disk of a recovery point back and proves it (I8).
namespace stillpoint::restore {

enum class Format { raw, qcow2 };

struct RestoreOptions {
    Format format = Format::qcow2;
    unsigned workers = 2;
};

struct DamagedRange {
    Extent range;
    std::string text;
};

struct RestoreResult {
    env::Path file;
    std::uint64_t data_bytes = 0;      // bytes written, zeros excluded
    std::vector<DamagedRange> damage;  // not empty: the file is `<name>.incomplete`
};

using Progress = std::function<void(std::uint64_t done_bytes)>;

/// Writes `folder/<disk>.<format>`, sparse, in parallel; under the name `….incomplete` until every
/// block was checked against the root, so that a half-done file never looks whole.
/// @errors busy, id "restore.exists": the target exists (never overwritten) · no_space · cancelled
[[nodiscard]] Result<RestoreResult> restore_disk(vault::Vault& vault, const vault::DiskRoot& disk,
                                                 const env::Path& folder,
                                                 const RestoreOptions& options,
                                                 const Progress& progress,
                                                 const env::CancelToken& cancel);

/// Re-reads every block of a disk at a point.
[[nodiscard]] Result<std::vector<DamagedRange>> verify_disk(vault::Vault& vault,
                                                            const vault::DiskRoot& disk,
                                                            const Progress& progress,
                                                            const env::CancelToken& cancel);

/// Compares a disk at a point with a raw or qcow2 file, block by block, by id.
/// @return the ranges that differ
[[nodiscard]] Result<std::vector<DamagedRange>> compare_with_file(vault::Vault& vault,
                                                                  const vault::DiskRoot& disk,
                                                                  const env::Path& file,
                                                                  const Progress& progress,
                                                                  const env::CancelToken& cancel);

}  // namespace stillpoint::restore
