#include "hypervisor/scratch_budget.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace stillpoint;
using hypervisor::ScratchBudget;
using Headroom = ScratchBudget::Headroom;

namespace {

constexpr std::uint64_t mib = 1u << 20;

ByteCount in_mib(std::uint64_t count) {
    return ByteCount{count * mib};
}

}  // namespace

TEST_CASE("hypervisor/scratch_budget: half of the free space is the guest's") {
    const ScratchBudget budget{{in_mib(100), {}}, Headroom::half, 2};
    CHECK(budget.limit() == in_mib(50));
    CHECK_FALSE(budget.exceeded(ByteCount{50 * mib - 1}, ByteCount{50 * mib + 1}));
    CHECK(budget.exceeded(in_mib(50), in_mib(50)));
    CHECK(ScratchBudget{{ByteCount{}, {}}, Headroom::half, 0}.exceeded({}, {}));
}

TEST_CASE("hypervisor/scratch_budget: a configured budget counts where it is the smaller one") {
    CHECK(ScratchBudget{{in_mib(100), in_mib(40)}, Headroom::half, 1}.limit() == in_mib(20));
    CHECK(ScratchBudget{{in_mib(100), in_mib(400)}, Headroom::half, 1}.limit() == in_mib(50));
    CHECK(ScratchBudget{{in_mib(100), in_mib(40)}, Headroom::none, 1}.limit() == in_mib(40));
}

TEST_CASE("hypervisor/scratch_budget: QEMU calls before the limit, whichever disk grows") {
    const ScratchBudget budget{{in_mib(100), {}}, Headroom::half, 2};
    const auto next = [&](std::uint64_t used, std::uint64_t free) {
        return budget.next_threshold(in_mib(used), in_mib(free), in_mib(4)).raw() / mib;
    };
    CHECK(next(10, 90) == 4 + 20);
    CHECK(budget.next_threshold(in_mib(60), in_mib(40), in_mib(4)) ==
          ByteCount{4 * mib + ScratchBudget::step_bytes_min});
    // Others took 40 MiB since: what is free decides, not what was.
    CHECK(next(10, 50) == 4 + 10);
}

TEST_CASE("hypervisor/scratch_budget: backups that share a filesystem never fill it together") {
    for (std::uint64_t count = 1; count <= 8; ++count) {
        CAPTURE(count);
        std::uint64_t free = 1024;
        const ScratchBudget budget{{in_mib(free), {}}, Headroom::half, 1};
        std::vector<std::uint64_t> used(count, 0);
        while (!budget.exceeded(in_mib(used[0]), in_mib(free))) {
            for (auto& one : used) one += 1;
            free -= count;
        }
        CHECK(free >= 1024 / (count + 1) - count);  // what is left for the writes meanwhile
    }
}

TEST_CASE("hypervisor/scratch_budget: a full filesystem ends a backup that holds hardly anything") {
    const ScratchBudget half{{in_mib(100), {}}, Headroom::half, 1};
    CHECK(half.exceeded(in_mib(1), in_mib(4)));
    const ScratchBudget none{{in_mib(100), {}}, Headroom::none, 1};
    CHECK_FALSE(none.exceeded(in_mib(60), in_mib(40)));
    CHECK(none.exceeded(in_mib(90), in_mib(10)));  // others need room, too
    CHECK(none.complaint("/scratch", in_mib(90), in_mib(10)).find("10 MiB") != std::string::npos);
}
