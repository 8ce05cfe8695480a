// Exhaustive small worlds: every set on a disk of `blocks` blocks against a bitmap.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "extents/extent_set.hpp"

using namespace stillpoint;
using namespace stillpoint::extents;

namespace {

using Bitmap = unsigned;  // bit n: byte n belongs to the set
constexpr unsigned blocks = 8;
constexpr Bitmap worlds = 1u << blocks;

bool has(Bitmap map, unsigned bit) {
    return (map >> bit & 1u) != 0;
}

ExtentSet set_of(Bitmap map) {
    ExtentSet out;
    for (unsigned at = 0; at < blocks + 4;) {
        unsigned end = at;
        while (has(map, end)) ++end;
        if (end > at) out.push_back({ByteOffset{at}, ByteCount{end - at}});
        at = end + 1;
    }
    return out;
}

Bitmap map_of(const ExtentSet& set) {
    Bitmap map = 0;
    for (const Extent& extent : set) {
        for (std::uint64_t n = 0; n < extent.length.raw(); ++n) map |= 1u << (extent.at.raw() + n);
    }
    return map;
}

// The promise of every result: the one canonical set of its bytes.
bool is(const ExtentSet& set, Bitmap map) {
    return set == set_of(map);
}

Bitmap below(unsigned size) {
    return (1u << size) - 1;
}

// Whole blocks of `step` that hold any (outward) or only (inward) bytes of the map.
Bitmap aligned(Bitmap map, unsigned step, unsigned size, bool outward) {
    Bitmap out = 0;
    for (unsigned at = 0; at < size; at += step) {
        const Bitmap block = (below(step) << at) & below(size);
        const bool take = outward ? (map & block) != 0 : (map & block) == block;
        if (take) out |= block;
    }
    return out;
}

}  // namespace

TEST_CASE("extents: two sets: union, intersection, difference equal the bitmap's") {
    for (Bitmap a = 0; a < worlds; ++a) {
        const ExtentSet set_a = set_of(a);
        for (Bitmap b = 0; b < worlds; ++b) {
            const ExtentSet set_b = set_of(b);
            REQUIRE(is(unite(set_a, set_b), a | b));
            REQUIRE(is(intersect(set_a, set_b), a & b));
            REQUIRE(is(subtract(set_a, set_b), a & ~b));
        }
    }
}

TEST_CASE("extents: one set: clip, align outward and inward, total") {
    for (Bitmap a = 0; a < worlds; ++a) {
        const ExtentSet set = set_of(a);
        REQUIRE(map_of(set) == a);
        REQUIRE(total(set) == ByteCount{static_cast<std::uint64_t>(__builtin_popcount(a))});
        for (unsigned size = 0; size <= blocks + 2; ++size) {
            REQUIRE(is(clip(set, ByteCount{size}), a & below(size)));
            for (const unsigned step : {1u, 2u, 4u, 8u, 16u}) {
                const ByteCount step_bytes{step};
                const Bitmap cut = a & below(size);
                REQUIRE(is(align_outward(set, step_bytes, ByteCount{size}),
                           aligned(cut, step, size, true)));
                REQUIRE(is(align_inward(set, step_bytes, ByteCount{size}),
                           aligned(cut, step, size, false)));
            }
        }
    }
}

TEST_CASE("extents: normalize: any three extents, empty and overlapping ones, in any order") {
    std::vector<Extent> all;
    for (unsigned at = 0; at < 6; ++at) {
        for (unsigned length = 0; at + length <= 6; ++length) {
            all.push_back({ByteOffset{at}, ByteCount{length}});
        }
    }
    for (const Extent& a : all) {
        for (const Extent& b : all) {
            for (const Extent& c : all) {
                REQUIRE(is(normalize({a, b, c}), map_of({a, b, c})));
            }
        }
    }
}

TEST_CASE("extents: nothing wraps at the end of 64 bits") {
    constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
    const ExtentSet tail{{ByteOffset{largest - 5}, ByteCount{5}}};
    const ExtentSet grown = align_outward(tail, ByteCount{4096}, ByteCount{largest});
    REQUIRE(grown.size() == 1);
    CHECK(grown[0].at.raw() == largest - 4095);
    CHECK(end_of(grown[0])->raw() == largest);
    CHECK(align_inward(tail, ByteCount{4096}, ByteCount{largest}).empty());
    CHECK(whole(ByteCount{}).empty());
    CHECK(total(whole(ByteCount{largest})).raw() == largest);
}
