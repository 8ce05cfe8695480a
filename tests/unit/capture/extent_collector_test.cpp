#include "capture/extent_collector.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace stillpoint;
using namespace stillpoint::capture;

namespace {

constexpr ByteCount size{1000};
constexpr ByteCount step{4};

}  // namespace

TEST_CASE("capture/collector: below its limit it tells the truth, in any order") {
    ExtentCollector collector{Coarsen::outward, {step, size}};
    collector.add({ByteOffset{20}, ByteCount{5}});
    collector.add({ByteOffset{1}, ByteCount{2}});
    collector.add({ByteOffset{3}, ByteCount{4}});
    collector.add({ByteOffset{9}, ByteCount{0}});
    collector.add({ByteOffset{990}, ByteCount{1ull << 40}});
    collector.add({ByteOffset{1000}, ByteCount{10}});
    CHECK(collector.take() == extents::ExtentSet{{ByteOffset{1}, ByteCount{6}},
                                                 {ByteOffset{20}, ByteCount{5}},
                                                 {ByteOffset{990}, ByteCount{10}}});
    CHECK(collector.take().empty());
}

TEST_CASE("capture/collector: beyond it dirty only grows, zero only shrinks, both stay bounded") {
    std::mt19937 random{7};
    for (int round = 0; round < 300; ++round) {
        CAPTURE(round);
        const CollectorLimits limits{step, size, 1 + random() % 12};
        ExtentCollector outward{Coarsen::outward, limits};
        ExtentCollector inward{Coarsen::inward, limits};
        std::vector<Extent> truth;
        for (auto n = random() % 120; n > 0; --n) {
            const std::uint64_t at = random() % size.raw();
            const ByteCount length{std::min<std::uint64_t>(1 + random() % 30, size.raw() - at)};
            truth.push_back({ByteOffset{at}, length});
            outward.add(truth.back());
            inward.add(truth.back());
        }
        const extents::ExtentSet exact = extents::normalize(truth);
        const extents::ExtentSet dirty = outward.take();
        const extents::ExtentSet zero = inward.take();
        REQUIRE(extents::subtract(exact, dirty).empty());
        REQUIRE(extents::subtract(zero, exact).empty());
        REQUIRE(dirty.size() <= limits.items_max);
        REQUIRE(zero.size() <= limits.items_max);
        REQUIRE(extents::clip(dirty, size) == dirty);
    }
}
