#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "env/random.hpp"
#include "sim/sim_world.hpp"

/// Whole backups of small VMs from a seed, with virtual time and faults at random places; README.md
/// says what is simulated, what is checked and what is deterministic.
///
///     STILLPOINT_SIM_SEED=n       that world alone, with its trace
///     STILLPOINT_SIM_SECONDS=n    how long random worlds are made
///     STILLPOINT_TEST_LENGTH=long ten minutes of them in place of one
using namespace stillpoint;

namespace {

constexpr std::uint64_t steps_per_world = 25;
constexpr std::chrono::seconds normal_length{25};
constexpr std::chrono::seconds long_length{600};

/// Worlds that once found something; each has to go on passing. A change of the schedule makes
/// other worlds of them: what they found needs a test of its own as well.
constexpr std::array<std::uint64_t, 2> pinned_seeds{
    2593815582998543,  // a forced full backup that fails took the parent's bitmap with it
    1678154119774208,  // two disks changed places: only their identity tells
};

struct Outcome {
    std::string failure;
    std::string trace;
    std::uint64_t digest = 0;
    std::uint64_t steps = 0;
    std::uint64_t disks_compared = 0;
};

Outcome run_world(std::uint64_t seed) {
    sim::World world{seed};
    Outcome outcome;
    bool good = true;
    while (good && outcome.steps < steps_per_world) {
        ++outcome.steps;
        good = world.step();
    }
    if (good) world.final_check();
    outcome.failure = world.failure();
    outcome.trace = world.trace().text();
    outcome.digest = world.trace().digest();
    outcome.disks_compared = world.points_checked();
    return outcome;
}

void require_good(std::uint64_t seed, const Outcome& outcome) {
    if (outcome.failure.empty()) return;
    std::cout << "sim: seed " << seed << " failed at step " << outcome.steps << ": "
              << outcome.failure << "\n"
              << outcome.trace << "again: STILLPOINT_SIM_SEED=" << seed << "\n";
    FAIL_CHECK("seed " << seed << ": " << outcome.failure);
}

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::chrono::seconds length() {
    const char* text = std::getenv("STILLPOINT_TEST_LENGTH");
    const bool is_long = text != nullptr && std::strcmp(text, "long") == 0;
    const auto usual = is_long ? long_length : normal_length;
    const auto count = static_cast<std::uint64_t>(usual.count());
    return std::chrono::seconds{number_of("STILLPOINT_SIM_SECONDS", count)};
}

}  // namespace

TEST_CASE("sim: the same seed takes the same course") {
    for (std::uint64_t seed = 100; seed < 104; ++seed) {
        CAPTURE(seed);
        const Outcome first = run_world(seed);
        const Outcome second = run_world(seed);
        require_good(seed, first);
        CHECK(first.digest == second.digest);
        CHECK(first.disks_compared == second.disks_compared);
        if (first.digest != second.digest) std::cout << first.trace << "---\n" << second.trace;
    }
}

TEST_CASE("sim: worlds that once found something") {
    for (const std::uint64_t seed : pinned_seeds) require_good(seed, run_world(seed));
}

TEST_CASE("sim: random worlds") {
    const std::uint64_t only = number_of("STILLPOINT_SIM_SEED", 0);
    if (only != 0) {
        const Outcome outcome = run_world(only);
        std::cout << outcome.trace;
        return require_good(only, outcome);
    }
    const env::SystemClock clock;
    const env::Deadline end{clock, length()};
    Bytes random = env::random_bytes(4);
    const std::uint64_t base = std::uint64_t{*ByteReader{random}.u32()} << 20;
    std::uint64_t worlds = 0, steps = 0, compared = 0;
    bool good = true;
    for (; good && !end.passed(); ++worlds) {
        const std::uint64_t seed = base + worlds;
        const Outcome outcome = run_world(seed);
        require_good(seed, outcome);
        steps += outcome.steps;
        compared += outcome.disks_compared;
        good = outcome.failure.empty();
    }
    std::cout << "sim: seeds " << base << " to " << base + worlds - 1 << ": " << worlds
              << " worlds, " << steps << " backups, " << compared
              << " restored disks equal to the model\n";
    CHECK(worlds > 0);
}
