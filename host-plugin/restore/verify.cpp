#include "restore/disk_walk.hpp"

namespace stillpoint::restore {
namespace {

/// Reading is all that a verification does: the walk proves what it reads.
class Nowhere final : public BlockSink {
public:
    Status write(ByteOffset, ByteView) override { return {}; }
};

}  // namespace

Result<std::vector<DamagedRange>> verify_disk(vault::Vault& vault, const vault::DiskRoot& disk,
                                              const Progress& progress,
                                              const env::CancelToken& cancel) {
    Nowhere nowhere;
    SP_ASSIGN(auto walked, walk_disk(vault, disk, {}, nowhere, progress, cancel));
    return std::move(walked.damage);
}

}  // namespace stillpoint::restore
