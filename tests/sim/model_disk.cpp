#include "sim/model_disk.hpp"

#include <algorithm>
#include <cstring>

namespace stillpoint::sim {
namespace {

constexpr std::uint64_t stale_tag = 0x5a5a;

}  // namespace

Bytes expand(const Cells& cells, std::uint64_t first, std::uint64_t count) {
    Bytes bytes(count * cell_bytes);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t tag = cells[first + i];
        for (std::uint64_t at = 0; tag != 0 && at < cell_bytes; at += sizeof tag) {
            std::memcpy(bytes.data() + i * cell_bytes + at, &tag, sizeof tag);
        }
    }
    return bytes;
}

void Bitmap::mark(Stretch cells) {
    if (!recording || inconsistent || cells.count == 0) return;
    const std::uint64_t last = (cells.first + cells.count - 1) / grain_cells;
    for (std::uint64_t i = cells.first / grain_cells; i <= last; ++i) dirty[i] = true;
}

void Bitmap::fit(std::uint64_t cells) {
    dirty.resize((cells + grain_cells - 1) / grain_cells);  // a new tail is clean, a cut leaves
}  // no trace: measured

void Image::set(Stretch where, std::uint64_t tag, bool known_zero) {
    for (std::uint64_t i = where.first; i < where.first + where.count; ++i) {
        cells[i] = tag;
        zero_known[i] = known_zero;
        if (base) written[i] = true;
    }
}

void Image::mark(Stretch where) {
    for (Bitmap& bitmap : bitmaps) bitmap.mark(where);
}

// Clusters that are covered whole become zero clusters; what sticks out is written as data.
void Image::apply_zeros(Stretch where) {
    set(where, 0, false);
    const std::uint64_t end = where.first + where.count;
    const std::uint64_t first = (where.first + cluster_cells - 1) / cluster_cells * cluster_cells;
    const std::uint64_t last = end == cells.size() ? end : end / cluster_cells * cluster_cells;
    if (first < last) set({first, last - first}, 0, true);
    mark(where);
}

// Less than a cluster is not discarded, but recorded all the same.
void Image::apply_discard(Stretch where) {
    if (!discards) return;
    mark(where);
    const std::uint64_t end = where.first + where.count;
    const std::uint64_t first = (where.first + cluster_cells - 1) / cluster_cells * cluster_cells;
    const std::uint64_t last = end == cells.size() ? end : end / cluster_cells * cluster_cells;
    if (first < last) set({first, last - first}, 0, true);
}

void Image::apply(GuestOp op, Stretch where, std::uint64_t tag) {
    switch (op) {
        case GuestOp::write:
            for (std::uint64_t i = 0; i < where.count; ++i) {
                set({where.first + i, 1}, tag + i, false);
            }
            return mark(where);
        case GuestOp::rewrite:
            for (std::uint64_t i = where.first; i < where.first + where.count; ++i) {
                set({i, 1}, cells[i], false);
            }
            return mark(where);
        case GuestOp::write_zeros:
            set(where, 0, false);
            return mark(where);
        case GuestOp::zero_command:
            return apply_zeros(where);
        case GuestOp::discard:
            return apply_discard(where);
    }
}

void Image::resize(std::uint64_t count) {
    if (count < cells.size()) {
        for (auto& [vault, least] : cut_to) least = std::min(least, count);
    }
    const std::uint64_t before = cells.size();
    // A raw image stands for a block device: what it grows by holds what was there.
    const bool device = format == "raw";
    cells.resize(count, 0);
    zero_known.resize(count, !device);
    for (std::uint64_t i = before; device && i < count; ++i) cells[i] = stale_tag + i % 7;
    if (base) written.resize(count, true);
    for (Bitmap& bitmap : bitmaps) bitmap.fit(count);
}

Bitmap* Image::bitmap(const std::string& name) {
    const auto found = std::find_if(bitmaps.begin(), bitmaps.end(),
                                    [&](const Bitmap& b) { return b.name == name; });
    return found == bitmaps.end() ? nullptr : &*found;
}

void Image::remove_bitmap(const std::string& name) {
    std::erase_if(bitmaps, [&](const Bitmap& b) { return b.name == name; });
}

void Image::close_cleanly() {
    std::erase_if(bitmaps, [](const Bitmap& b) { return !b.persistent; });
    for (Bitmap& bitmap : bitmaps) bitmap.stored = true;
    if (base) base->close_cleanly();
}

void Image::close_killed() {
    std::erase_if(bitmaps, [](const Bitmap& b) { return !b.persistent || !b.stored; });
    for (Bitmap& bitmap : bitmaps) {
        bitmap.inconsistent = true;
        bitmap.recording = false;
        std::fill(bitmap.dirty.begin(), bitmap.dirty.end(), false);
    }
    if (base) base->close_killed();
}

std::shared_ptr<Image> make_overlay(std::shared_ptr<Image> base, const std::string& path) {
    auto overlay = std::make_shared<Image>(*base);
    overlay->path = path;
    overlay->format = "qcow2";
    overlay->bitmaps.clear();
    overlay->written.assign(overlay->cells.size(), false);
    overlay->base = std::move(base);
    return overlay;
}

std::shared_ptr<Image> commit_overlay(const Image& overlay) {
    const std::shared_ptr<Image> base = overlay.base;
    if (overlay.cells.size() != base->cells.size()) base->resize(overlay.cells.size());
    for (std::uint64_t i = 0; i < overlay.cells.size(); ++i) {
        if (!overlay.written[i]) continue;
        base->cells[i] = overlay.cells[i];
        base->zero_known[i] = overlay.zero_known[i];
        if (base->base) base->written[i] = true;
        for (Bitmap& bitmap : base->bitmaps) bitmap.mark({i, 1});
    }
    for (const auto& [vault, least] : overlay.cut_to) {
        auto& known = base->cut_to.emplace(vault, least).first->second;
        known = std::min(known, least);
    }
    return base;
}

extents::ExtentSet extents_of(const std::vector<bool>& bits, std::uint64_t unit_cells,
                              std::uint64_t cells) {
    std::vector<Extent> found;
    const std::uint64_t unit = unit_cells * cell_bytes;
    for (std::uint64_t i = 0; i < bits.size(); ++i) {
        if (bits[i]) found.push_back({ByteOffset{i * unit}, ByteCount{unit}});
    }
    return extents::clip(extents::normalize(std::move(found)), ByteCount{cells * cell_bytes});
}

}  // namespace stillpoint::sim
