#include "restore/write_out.hpp"

#include <fcntl.h>

namespace stillpoint::restore {
namespace {

// Large enough for long writes to the disk, small enough for it to begin at once.
constexpr std::uint64_t step_bytes = 16u << 20;

}  // namespace

Status WriteOut::write(ByteOffset at, ByteView bytes) {
    SP_TRY(sink_.write(at, bytes));
    const std::uint64_t before = written_bytes_.fetch_add(bytes.size());
    if (before / step_bytes != (before + bytes.size()) / step_bytes) {
        // The whole file: content comes in no order, and what is under way is not begun again.
        ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    return {};
}

}  // namespace stillpoint::restore
