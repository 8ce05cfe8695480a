#include "route/points_diff.hpp"

#include <algorithm>

#include "route/point_lookup.hpp"

namespace stillpoint::route {
namespace {

using serialization::DiskDiff;

const vault::DiskRoot* find_disk(const vault::Point& point, const std::string& name) {
    const auto found = std::ranges::find(point.disks, name, &vault::DiskRoot::disk);
    return found == point.disks.end() ? nullptr : &*found;
}

/// Collects differing blocks into the report of one disk.
class Collector {
public:
    Collector(DiskDiff& into, std::uint64_t chunk_bytes, bool extents)
        : into_(into), chunk_bytes_(chunk_bytes), extents_(extents) {}

    void add(BlockIndex block, vault::BlockChange change) {
        const std::uint64_t at = block.raw() * chunk_bytes_;
        const std::uint64_t end = std::max(into_.size_before, into_.size_now);
        const std::uint64_t length = std::min(chunk_bytes_, end - std::min(at, end));
        into_.changed += length;
        if (change == vault::BlockChange::zeroed) into_.zeroed += length;
        if (!extents_) return;
        if (!into_.extents.empty() &&
            into_.extents.back().offset + into_.extents.back().length == at) {
            into_.extents.back().length += length;
        } else {
            into_.extents.push_back({.offset = at, .length = length});
        }
    }

private:
    DiskDiff& into_;
    std::uint64_t chunk_bytes_;
    bool extents_;
};

}  // namespace

Result<serialization::DiffReport> diff_points(vault::Vault& vault, const DiffRequest& request,
                                              const env::CancelToken& cancel) {
    SP_ASSIGN(const vault::Point before, find_point(vault, request.before));
    SP_ASSIGN(const vault::Point now, find_point(vault, request.now));
    serialization::DiffReport report{
        .before = before.id, .now = now.id, .disks = {}, .only_before = {}, .only_now = {}};
    for (const vault::DiskRoot& disk : before.disks) {
        if (vault::is_attachment(disk.disk)) continue;
        if (find_disk(now, disk.disk) == nullptr) report.only_before.push_back(disk.disk);
    }
    for (const vault::DiskRoot& disk : now.disks) {
        if (vault::is_attachment(disk.disk)) continue;
        const vault::DiskRoot* old = find_disk(before, disk.disk);
        if (old == nullptr) {
            report.only_now.push_back(disk.disk);
            continue;
        }
        DiskDiff found{.name = disk.disk,
                       .size_before = old->size.raw(),
                       .size_now = disk.size.raw(),
                       .extents = {}};
        Collector collector{found, vault.chunk_bytes(), request.extents};
        SP_TRY(vault.diff(*old, disk, [&](BlockIndex block, vault::BlockChange change) {
            collector.add(block, change);
            return cancel.check();
        }));
        report.disks.push_back(std::move(found));
    }
    return report;
}

}  // namespace stillpoint::route
