#include <doctest/doctest.h>

#include "capture/capture.hpp"

using namespace stillpoint;
using namespace stillpoint::capture;

namespace {

// A tiny world: chunks of 4 bytes, a disk of up to 12 bytes, every dirty and every zero set.
constexpr unsigned chunk = 4;

extents::ExtentSet set_of(unsigned map, unsigned granularity) {
    std::vector<Extent> out;
    for (unsigned bit = 0; bit < 32; ++bit) {
        if ((map >> bit & 1u) != 0) {
            out.push_back({ByteOffset{std::uint64_t{bit} * granularity}, ByteCount{granularity}});
        }
    }
    return extents::normalize(out);
}

bool covers(const extents::ExtentSet& set, unsigned byte) {
    for (const Extent& extent : set) {
        if (byte >= extent.at.raw() && byte < end_of(extent)->raw()) return true;
    }
    return false;
}

// What must happen to one chunk, decided byte by byte from the definition.
enum class Fate { leave, zero, read };
Fate fate_of(const PlanInput& in, unsigned chunk_at) {
    bool dirty = in.parent_size && *in.parent_size > in.size;
    bool zero = true;
    for (unsigned n = chunk_at; n < chunk_at + chunk && n < in.size.raw(); ++n) {
        dirty = dirty || covers(in.dirty, n) || (in.parent_size && n >= in.parent_size->raw());
        zero = zero && covers(in.zero, n);
    }
    if (!dirty) return Fate::leave;
    return zero ? Fate::zero : Fate::read;
}

void check_plan(const PlanInput& in) {
    const ReadPlan plan = plan_reads(in);
    for (unsigned n = 0; n < in.size.raw(); ++n) {
        const Fate fate = fate_of(in, n / chunk * chunk);
        REQUIRE(covers(plan.read, n) == (fate == Fate::read));
        REQUIRE(covers(plan.zeros, n) == (fate == Fate::zero));
    }
    REQUIRE(extents::normalize(plan.read) == plan.read);
    REQUIRE(extents::normalize(plan.zeros) == plan.zeros);
    REQUIRE(extents::clip(plan.read, in.size) == plan.read);
    REQUIRE(extents::clip(plan.zeros, in.size) == plan.zeros);
    REQUIRE(plan.read_bytes() == extents::total(plan.read));
}

constexpr std::uint64_t KiB = 1024;
Extent kib(std::uint64_t at, std::uint64_t length) {
    return {ByteOffset{at * KiB}, ByteCount{length * KiB}};
}

}  // namespace

TEST_CASE("capture/plan: every dirty set, zero set, size and parent size of a small disk") {
    for (unsigned size = 9; size <= 12; ++size) {  // 9..11: a shorter last chunk
        for (unsigned dirty = 0; dirty < 1u << 6; ++dirty) {
            for (unsigned zero = 0; zero < 1u << 6; ++zero) {
                PlanInput in{
                    set_of(dirty, 2), set_of(zero, 2), ByteCount{size}, {}, ByteCount{chunk}};
                check_plan(in);
                for (const unsigned parent : {0u, 4u, 5u, 9u, 12u, 14u}) {
                    in.parent_size = ByteCount{parent};
                    check_plan(in);
                }
            }
        }
    }
}

TEST_CASE("capture/plan: granularities that do not fit the chunk") {
    for (const unsigned granularity : {1u, 3u, 8u}) {  // finer, odd, coarser than a chunk
        for (unsigned dirty = 0; dirty < 1u << 5; ++dirty) {
            for (unsigned zero = 0; zero < 1u << 5; ++zero) {
                check_plan({set_of(dirty, granularity),
                            set_of(zero, granularity),
                            ByteCount{11},
                            {},
                            ByteCount{chunk}});
            }
        }
    }
}

TEST_CASE("capture/plan: zero chunks are not read, a partly zero chunk is, clean zeros are left") {
    const ReadPlan plan = plan_reads({.dirty = {kib(0, 256)},
                                      .zero = {kib(64, 96), kib(512, 64)},
                                      .size = ByteCount{1024 * KiB},
                                      .parent_size = ByteCount{1024 * KiB}});
    CHECK(plan.zeros == extents::ExtentSet{kib(64, 64)});
    CHECK(plan.read == extents::ExtentSet{kib(0, 64), kib(128, 128)});
    CHECK(plan.read_bytes() == ByteCount{192 * KiB});
}

TEST_CASE("capture/plan: a hole that is not said to be zero is read") {
    // base:allocation HOLE without ZERO never enters `zero`: nothing but that set spares a read.
    const ReadPlan plan = plan_reads(
        {.dirty = {kib(0, 64)}, .zero = {}, .size = ByteCount{64 * KiB}, .parent_size = {}});
    CHECK(plan.read == extents::ExtentSet{kib(0, 64)});
}

TEST_CASE("capture/plan: a grown tail is dirty from the parent's last chunk on; zeros of it too") {
    const ReadPlan plan = plan_reads({.dirty = {},
                                      .zero = {kib(128, 128)},
                                      .size = ByteCount{256 * KiB},
                                      .parent_size = ByteCount{100 * KiB}});
    CHECK(plan.read == extents::ExtentSet{kib(64, 64)});
    CHECK(plan.zeros == extents::ExtentSet{kib(128, 128)});
}

TEST_CASE("capture/plan: a shrunk disk is dirty as a whole") {
    const ReadPlan plan = plan_reads({.dirty = {},
                                      .zero = {},
                                      .size = ByteCount{100 * KiB},
                                      .parent_size = ByteCount{101 * KiB}});
    CHECK(plan.read == extents::ExtentSet{kib(0, 100)});
}

TEST_CASE("capture/plan: extents beyond the disk's end are cut") {
    const ReadPlan plan = plan_reads({.dirty = {kib(64, 4096)},
                                      .zero = {kib(96, 4096)},
                                      .size = ByteCount{100 * KiB},
                                      .parent_size = {}});
    CHECK(plan.read == extents::ExtentSet{kib(64, 36)});
    CHECK(plan.zeros.empty());
}
