// take_bench [ROUNDS]: how long the instant takes, and what it is made of, for 1, 2 and 4 disks.
// Increments with a new checkpoint, as every backup but the first; the VM is paused and idle.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "backup_steps.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::test;

struct Series {
    std::vector<double> ms;
    void add(env::Nanoseconds value) { ms.push_back(env::to_ms(value)); }
    void print(const char* name) {
        std::sort(ms.begin(), ms.end());
        std::printf("  %-34s %8.1f %8.1f %8.1f\n", name, ms.front(), ms[ms.size() / 2], ms.back());
    }
};

struct Parts {
    Series prepare, take, rest, end;
};

void one_round(BackupSteps& steps, const env::Clock& clock, Parts& parts) {
    const auto start = clock.monotonic();
    must(steps.snapshot().prepare(steps.soon(), env::CancelToken{}));
    const auto prepared = clock.monotonic();
    const auto times = must(steps.snapshot().take(steps.soon()));
    const auto taken = clock.monotonic();
    must(steps.snapshot().open_exports(steps.soon()));
    const auto opened = clock.monotonic();
    must(steps.snapshot().prove_alive());
    const auto proven = clock.monotonic();
    steps.end(hypervisor::Snapshot::Outcome::published);
    parts.prepare.add(prepared - start);
    parts.take.add(taken - times.before);
    parts.rest.add(opened - taken);
    parts.end.add(clock.monotonic() - proven);
}

void measure(const std::vector<TestDisk>& disks, int rounds) {
    const env::SystemClock clock;
    TestDomain domain{disks};
    BackupSteps steps{domain.name()};
    std::vector<std::string> names;
    for (const TestDisk& disk : disks) names.push_back(disk.name);
    Parts parts;
    std::string parent;
    for (int round = 0; round <= rounds; ++round) {
        const std::string fresh = "stillpoint-0badcafe-b" + std::to_string(round);
        for (const std::string& name : names) domain.write(name, round + 1, 0, 1u << 20);
        steps.plan(names, parent, fresh);
        Parts first;
        one_round(steps, clock, round == 0 ? first : parts);  // the first is a full: not counted
        parent = fresh;
    }
    std::printf("%zu disk(s), %d increments, ms           min   median      max\n", disks.size(),
                rounds);
    parts.prepare.print("prepare (guest runs)");
    parts.take.print("take: call -> all jobs running");
    parts.rest.print("rest of the call, thresholds");
    parts.end.print("end: abort, wait, delete parent");
}

}  // namespace

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::max(1, std::atoi(arguments[1])) : 15;
    try {
        measure({{"vda"}}, rounds);
        measure({{"vda"}, {"vdb"}}, rounds);
        measure({{"vda"}, {"vdb"}, {"vdc"}, {"vdd"}}, rounds);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
