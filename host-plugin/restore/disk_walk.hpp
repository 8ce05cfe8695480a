#pragma once
#include "restore/disk_cursor.hpp"

namespace stillpoint::restore {

/// What is to be done with the content of a disk. @threads any, concurrently
class BlockSink {
public:
    virtual ~BlockSink() = default;
    /// A stretch of proven content, in no order. Zeros never come.
    virtual Status write(ByteOffset at, ByteView bytes) = 0;
};

struct WalkResult {
    std::vector<DamagedRange> damage;
    std::uint64_t data_bytes = 0;  // given to the sink
};

struct WalkOptions {
    unsigned workers = 2;
    std::size_t write_bytes = 4u << 20;  // neighbouring blocks come together, up to that
};

/// Reads every block of a disk, in parallel, gives the data to the sink and, when nothing is
/// damaged, proves the root over what was given (I8).
/// @errors corrupt: the root cannot be read, or (id "restore.unproven") the proof failed ·
///         cancelled · whatever the sink returns
[[nodiscard]] Result<WalkResult> walk_disk(vault::Vault& vault, const vault::DiskRoot& disk,
                                           const WalkOptions& options, BlockSink& sink,
                                           const Progress& progress,
                                           const env::CancelToken& cancel);

}  // namespace stillpoint::restore
