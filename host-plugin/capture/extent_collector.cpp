#include "capture/extent_collector.hpp"

#include <algorithm>
#include <utility>

namespace stillpoint::capture {

void ExtentCollector::add(const Extent& extent) {
    if (extent.at.raw() >= limits_.size.raw() || extent.length.raw() == 0) return;
    const std::uint64_t room = limits_.size.raw() - extent.at.raw();
    const Extent cut{extent.at, std::min(extent.length, ByteCount{room})};
    // Answers mostly continue one another.
    if (!items_.empty() && end_of(items_.back()) == cut.at) {
        items_.back().length += cut.length;
        return;
    }
    items_.push_back(cut);
    if (items_.size() >= 2 * limits_.items_max) shrink();
}

void ExtentCollector::shrink() {
    items_ = extents::normalize(std::move(items_));
    while (items_.size() > limits_.items_max) {
        items_ = direction_ == Coarsen::outward
                     ? extents::align_outward(items_, limits_.step, limits_.size)
                     : extents::align_inward(items_, limits_.step, limits_.size);
        limits_.step = limits_.step + limits_.step;
    }
}

extents::ExtentSet ExtentCollector::take() {
    shrink();
    return std::exchange(items_, {});
}

}  // namespace stillpoint::capture
