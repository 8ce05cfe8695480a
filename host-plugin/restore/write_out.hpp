#pragma once
#include <atomic>

#include "restore/disk_walk.hpp"

namespace stillpoint::restore {

/// Passes content on to a sink and lets the kernel write it out while more is made: else all of it
/// would wait in memory for the final sync, and the disk would idle until then. Only a hint: what
/// makes a file durable is its sync.
class WriteOut final : public BlockSink {
public:
    /// @param fd the file that the sink writes, by whatever way; must outlive this object
    WriteOut(BlockSink& sink, int fd) : sink_(sink), fd_(fd) {}
    Status write(ByteOffset at, ByteView bytes) override;

private:
    BlockSink& sink_;
    int fd_;
    std::atomic<std::uint64_t> written_bytes_{0};
};

}  // namespace stillpoint::restore
