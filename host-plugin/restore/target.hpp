#pragma once
#include <memory>

#include "env/clock.hpp"
#include "restore/disk_walk.hpp"

namespace stillpoint::restore {

/// A disk image being written, sparse: what is not written reads as zeros.
class Target : public BlockSink {
public:
    /// Writes what is cached and lets go of the file; it is not synced yet. @threads one
    virtual Status close() = 0;
};

struct TargetOptions {
    ByteCount size;
    unsigned connections = 2;  // workers that write at once
};

/// @param file exists, empty, and is the caller's to remove
[[nodiscard]] Result<std::unique_ptr<Target>> open_raw_target(const env::Path& file,
                                                              const TargetOptions& options);
/// @errors not_found: qemu-img or qemu-nbd is not installed
[[nodiscard]] Result<std::unique_ptr<Target>> open_qcow2_target(const env::Path& file,
                                                                const TargetOptions& options,
                                                                const env::CancelToken& cancel);

}  // namespace stillpoint::restore
