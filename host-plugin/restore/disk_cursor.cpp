#include "restore/disk_cursor.hpp"

#include <algorithm>

namespace stillpoint::restore {

Extent extent_of(const vault::DiskReader& reader, BlockIndex first, std::uint64_t count) {
    const std::uint64_t at = first.raw() * reader.chunk_bytes();
    const std::uint64_t end =
        std::min((first.raw() + count) * reader.chunk_bytes(), reader.size().raw());
    return {ByteOffset{at}, ByteCount{end - at}};
}

Result<std::optional<vault::MapRun>> DiskCursor::next() {
    SP_TRY(cancel_.check());
    const std::scoped_lock lock{mutex_};
    if (at_ * reader_.chunk_bytes() >= reader_.size().raw()) return std::nullopt;
    SP_ASSIGN(auto run, reader_.run_at(BlockIndex{at_}));
    at_ += run.count;
    return run;
}

void Findings::damaged(const Extent& range, std::string text) {
    const std::scoped_lock lock{mutex_};
    damage_.push_back({range, std::move(text)});
}

void Findings::done(ByteCount bytes) {
    const std::scoped_lock lock{mutex_};
    done_bytes_ += bytes.raw();
    if (progress_) progress_(done_bytes_);
}

std::vector<DamagedRange> Findings::take() {
    const std::scoped_lock lock{mutex_};
    std::sort(damage_.begin(), damage_.end(),
              [](const auto& a, const auto& b) { return a.range.at < b.range.at; });
    std::vector<DamagedRange> joined;
    for (DamagedRange& next : damage_) {
        if (!joined.empty() && end_of(joined.back().range) == next.range.at) {
            joined.back().range.length += next.range.length;
        } else {
            joined.push_back(std::move(next));
        }
    }
    damage_.clear();
    return joined;
}

}  // namespace stillpoint::restore
