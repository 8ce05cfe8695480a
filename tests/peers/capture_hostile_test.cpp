// What no honest server says must not crash, hang or fill memory, and never pass as "unchanged".
#include <fstream>

#include "capture_support.hpp"
#include "phony_nbd.hpp"

using namespace stillpoint;
using namespace stillpoint::test;

namespace {

Result<capture::ReadPlan> plan_of(const PhonyNbd& server,
                                  const capture::ReadOptions& options = {}) {
    return connect({server.socket(), "", "qemu:dirty-bitmap:b0"}, options)->plan(chunk, {}, {});
}

Lies with_status(Lies::Extents (*status)(std::uint64_t, std::uint32_t)) {
    Lies lies;
    lies.status = status;
    return lies;
}

constexpr std::uint32_t kib64 = 64 * KiB;

}  // namespace

TEST_CASE("peers/capture: hostile: sizes beyond all disks are refused") {
    for (const std::uint64_t size : {(1ull << 60) + 1, (1ull << 63) - 1, 1ull << 63, ~0ull}) {
        CAPTURE(size);
        Lies lies;
        lies.size = size;
        const PhonyNbd server{lies};
        const auto source = capture::connect_nbd({server.socket(), "", ""}, {}, real_clock);
        REQUIRE_FALSE(source);
        CHECK(source.error().id == "capture.size");
    }
}

TEST_CASE("peers/capture: hostile: status answers without progress are damage, not clean blocks") {
    const PhonyNbd zero_length{with_status([](std::uint64_t, std::uint32_t length) {
        return Lies::Extents{{0, 0}, {length, 0}};
    })};
    CHECK(plan_of(zero_length).error().code == Errc::corrupt);
    const PhonyNbd nothing{
        with_status([](std::uint64_t, std::uint32_t) { return Lies::Extents{}; })};
    CHECK_FALSE(plan_of(nothing));
    const PhonyNbd beyond{with_status([](std::uint64_t, std::uint32_t length) {
        return Lies::Extents{{length, 0}, {length, 1}};
    })};
    CHECK_FALSE(plan_of(beyond));
    Lies other;
    other.status_context = 7;
    const PhonyNbd other_context{other};
    CHECK_FALSE(plan_of(other_context));
}

TEST_CASE(
    "peers/capture: hostile: short answers and answers beyond the question are taken as far "
    "as they go") {
    // One chunk at a time, every second one dirty.
    const PhonyNbd brief{with_status([](std::uint64_t at, std::uint32_t) {
        return Lies::Extents{{kib64, at / kib64 % 2 == 0 ? 1u : 0u}};
    })};
    const auto plan = plan_of(brief).value();
    CHECK(plan.read.size() == 512);
    CHECK(plan.read_bytes() == ByteCount{32 * MiB});
    // More than was asked, even more than the disk has.
    const PhonyNbd generous{with_status([](std::uint64_t, std::uint32_t) {
        return Lies::Extents{{0xffff0000, 1}};
    })};
    const auto all = plan_of(generous).value();
    CHECK(all.read == extents::whole(ByteCount{64 * MiB}));
}

TEST_CASE("peers/capture: only the zero bit of allocation spares a read, a hole alone does not") {
    // Chunk by chunk: data, hole, zero, hole and zero.
    const PhonyNbd server{with_status([](std::uint64_t at, std::uint32_t) {
        return Lies::Extents{{kib64, static_cast<std::uint32_t>(at / kib64 % 4)}};
    })};
    const auto plan = connect({server.socket(), "", ""})->plan(chunk, {}, {}).value();
    CHECK(plan.read_bytes() == ByteCount{32 * MiB});
    CHECK(plan.read.front() == Extent{ByteOffset{0}, ByteCount{2 * kib64}});
    CHECK(plan.zeros.front() == Extent{ByteOffset{2 * kib64}, ByteCount{2 * kib64}});
}

TEST_CASE("peers/capture: hostile: a trickle of status answers does not hold us for days") {
    Lies lies = with_status([](std::uint64_t, std::uint32_t) { return Lies::Extents{{kib64, 1}}; });
    lies.size = 1ull << 60;
    const PhonyNbd server{lies};
    const env::Nanoseconds before = real_clock.monotonic();
    const auto plan = plan_of(server, {.reply_timeout = 50ms});
    CHECK(plan.error().id == "capture.stalled");
    CHECK(real_clock.monotonic() - before < 5s);
}

TEST_CASE("peers/capture: hostile: more extents than memory should hold are coarsened, safely") {
    // Every second chunk of 1 TiB dirty, everything zero in odd pieces: 8 million extents each.
    Lies lies = with_status([](std::uint64_t at, std::uint32_t length) {
        Lies::Extents out;
        for (std::uint32_t done = 0; done < length; done += kib64) {
            out.emplace_back(kib64, (at + done) / kib64 % 2 == 0 ? 3u : 0u);
        }
        return out;
    });
    lies.size = 1ull << 40;
    const PhonyNbd server{lies};
    const auto plan = plan_of(server).value();
    CHECK(plan.read.size() <= capture::extents_max);
    CHECK(plan.zeros.size() <= capture::extents_max);
    // Nothing dirty may be lost: each dirty chunk is read, as a hint that no longer fits is
    // dropped.
    CHECK(extents::total(plan.zeros).raw() + plan.read_bytes().raw() >= lies.size / 2);
}

TEST_CASE("peers/capture: hostile: a read that is not what was asked for never reaches the sink") {
    struct Case {
        const char* what;
        std::pair<std::uint64_t, std::uint32_t> (*read)(std::uint64_t, std::uint32_t);
    };
    const Case cases[] = {
        {"half",
         [](std::uint64_t at, std::uint32_t length) {
             return std::pair{at, length / 2};
         }},
        {"nothing",
         [](std::uint64_t at, std::uint32_t) {
             return std::pair{at, 0u};
         }},
        {"elsewhere",
         [](std::uint64_t at, std::uint32_t length) {
             return std::pair{at + length, length};
         }},
        {"before",
         [](std::uint64_t at, std::uint32_t length) {
             return std::pair{at - 1, length};
         }},
        {"too much",
         [](std::uint64_t at, std::uint32_t length) {
             return std::pair{at, length + 1};
         }},
    };
    for (const Case& one : cases) {
        CAPTURE(one.what);
        Lies lies;
        lies.read = one.read;
        const PhonyNbd server{lies};
        const auto source = connect({server.socket(), "", ""});
        int calls = 0;
        const Status read = source->read({{ByteOffset{1 * MiB}, ByteCount{1 * MiB}}}, 1,
                                         [&](ByteOffset, ByteView) -> Status {
                                             ++calls;
                                             return {};
                                         },
                                         {});
        CHECK_FALSE(read);
        CHECK(calls == 0);
    }
}
