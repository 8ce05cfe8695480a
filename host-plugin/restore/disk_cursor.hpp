#pragma once
#include <functional>
#include <mutex>
#include <optional>

#include "restore/restore.hpp"

namespace stillpoint::restore {

/// Hands the runs of a disk to several workers, in ascending order, each once.
/// @threads any, concurrently
class DiskCursor {
public:
    /// @param reader, cancel outlive the cursor
    DiskCursor(vault::DiskReader& reader, const env::CancelToken& cancel)
        : reader_(reader), cancel_(cancel) {}
    /// @return nullopt at the end of the disk
    /// @errors cancelled · io and the like; damage is a run, not an error
    Result<std::optional<vault::MapRun>> next();

private:
    vault::DiskReader& reader_;
    const env::CancelToken& cancel_;
    std::mutex mutex_;  // guards what follows
    std::uint64_t at_ = 0;
};

/// Bytes of a stretch of blocks, the last one of a disk at its true length.
[[nodiscard]] Extent extent_of(const vault::DiskReader& reader, BlockIndex first,
                               std::uint64_t count);

/// What several workers find and tell: damage and progress. @threads any, concurrently
class Findings {
public:
    explicit Findings(const Progress& progress) : progress_(progress) {}
    void damaged(const Extent& range, std::string text);
    /// These bytes need not be looked at any more.
    void done(ByteCount bytes);
    /// Sorted by offset; touching ranges are one, with the text of the first.
    [[nodiscard]] std::vector<DamagedRange> take();

private:
    const Progress& progress_;
    std::mutex mutex_;  // guards what follows; progress is told under it, in order
    std::vector<DamagedRange> damage_;
    std::uint64_t done_bytes_ = 0;
};

}  // namespace stillpoint::restore
