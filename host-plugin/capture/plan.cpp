#include "capture/capture.hpp"

namespace stillpoint::capture {
namespace {

// The bitmap says nothing about bytes beyond the parent's end, and a cut disk leaves no trace in it
// at all (I3): a grown tail is dirty, a shrunk disk is dirty from its first byte.
extents::ExtentSet unrecorded(ByteCount size, ByteCount parent_size) {
    if (parent_size > size) return extents::whole(size);
    return extents::normalize(
        {extents::between(ByteOffset{parent_size.raw()}, ByteOffset{size.raw()})});
}

}  // namespace

extents::ExtentSet dirty_chunks(const PlanInput& input) {
    extents::ExtentSet dirty = extents::clip(extents::normalize(input.dirty), input.size);
    if (input.parent_size) {
        dirty = extents::unite(dirty, unrecorded(input.size, *input.parent_size));
    }
    return extents::align_outward(dirty, input.chunk, input.size);
}

ReadPlan plan_reads(const PlanInput& input) {
    const extents::ExtentSet dirty = dirty_chunks(input);
    const extents::ExtentSet zero =
        extents::align_inward(extents::normalize(input.zero), input.chunk, input.size);
    ReadPlan plan;
    plan.zeros = extents::intersect(dirty, zero);
    plan.read = extents::subtract(dirty, plan.zeros);
    return plan;
}

}  // namespace stillpoint::capture
