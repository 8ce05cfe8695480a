#include "extents/extent_set.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.hpp"

namespace stillpoint::extents {
namespace {

std::uint64_t end_raw(const Extent& extent) {
    const auto end = end_of(extent);
    SP_CHECK(end.has_value());
    return end->raw();
}

Extent range(std::uint64_t from, std::uint64_t to) {
    return {ByteOffset{from}, ByteCount{to - from}};
}

// Appends to a set under construction; `from` never lies before the last extent's start.
void append(ExtentSet& out, std::uint64_t from, std::uint64_t to) {
    if (from >= to) return;
    if (!out.empty() && from <= end_raw(out.back())) {
        Extent& last = out.back();
        last.length = ByteCount{std::max(end_raw(last), to) - last.at.raw()};
        return;
    }
    out.push_back(range(from, to));
}

std::uint64_t round_down(std::uint64_t value, ByteCount step) {
    SP_CHECK(std::has_single_bit(step.raw()));
    return value & ~(step.raw() - 1);
}

// Rounded up; a value too large for that stays at the largest multiple's block end: never wraps.
std::uint64_t round_up(std::uint64_t value, ByteCount step) {
    constexpr auto largest = std::numeric_limits<std::uint64_t>::max();
    if (value > largest - (step.raw() - 1)) return largest;
    return round_down(value + (step.raw() - 1), step);
}

}  // namespace

Extent between(ByteOffset from, ByteOffset to) {
    SP_CHECK(from <= to);
    return range(from.raw(), to.raw());
}

ExtentSet whole(ByteCount size) {
    ExtentSet out;
    append(out, 0, size.raw());
    return out;
}

ExtentSet normalize(std::vector<Extent> extents) {
    const auto by_start = [](const Extent& a, const Extent& b) { return a.at < b.at; };
    // Servers answer in order: the common case costs one pass.
    if (!std::is_sorted(extents.begin(), extents.end(), by_start)) {
        std::sort(extents.begin(), extents.end(), by_start);
    }
    ExtentSet out;
    for (const Extent& extent : extents) append(out, extent.at.raw(), end_raw(extent));
    return out;
}

ExtentSet unite(const ExtentSet& a, const ExtentSet& b) {
    ExtentSet out;
    auto left = a.begin();
    auto right = b.begin();
    while (left != a.end() || right != b.end()) {
        const bool take_left = right == b.end() || (left != a.end() && left->at < right->at);
        const Extent& next = take_left ? *left++ : *right++;
        append(out, next.at.raw(), end_raw(next));
    }
    return out;
}

ExtentSet intersect(const ExtentSet& a, const ExtentSet& b) {
    ExtentSet out;
    auto left = a.begin();
    auto right = b.begin();
    while (left != a.end() && right != b.end()) {
        append(out, std::max(left->at, right->at).raw(), std::min(end_raw(*left), end_raw(*right)));
        if (end_raw(*left) < end_raw(*right)) {
            ++left;
        } else {
            ++right;
        }
    }
    return out;
}

ExtentSet subtract(const ExtentSet& a, const ExtentSet& b) {
    ExtentSet out;
    auto hole = b.begin();
    for (const Extent& extent : a) {
        std::uint64_t from = extent.at.raw();
        const std::uint64_t to = end_raw(extent);
        while (hole != b.end() && end_raw(*hole) <= from) ++hole;
        for (auto cut = hole; cut != b.end() && cut->at.raw() < to; ++cut) {
            append(out, from, cut->at.raw());
            from = std::max(from, end_raw(*cut));
        }
        append(out, from, to);
    }
    return out;
}

ExtentSet clip(const ExtentSet& set, ByteCount size) {
    ExtentSet out;
    for (const Extent& extent : set) {
        append(out, extent.at.raw(), std::min(end_raw(extent), size.raw()));
    }
    return out;
}

ExtentSet align_outward(const ExtentSet& set, ByteCount step, ByteCount size) {
    ExtentSet out;
    for (const Extent& extent : set) {
        if (extent.at.raw() >= size.raw()) break;  // rounding down must not bring it back in
        append(out, round_down(extent.at.raw(), step),
               std::min(round_up(end_raw(extent), step), size.raw()));
    }
    return out;
}

ExtentSet align_inward(const ExtentSet& set, ByteCount step, ByteCount size) {
    ExtentSet out;
    for (const Extent& extent : set) {
        const std::uint64_t end = end_raw(extent);
        append(out, round_up(extent.at.raw(), step),
               end >= size.raw() ? size.raw() : round_down(end, step));
    }
    return out;
}

ByteCount total(const ExtentSet& set) {
    ByteCount sum;
    for (const Extent& extent : set) sum += extent.length;
    return sum;
}

}  // namespace stillpoint::extents
