// How long the instant takes (ADR-0008): `meson test --benchmark 'qmp instant'` prints JSON lines.
#include <algorithm>
#include <cstdio>

#include "guest_vm.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
using hypervisor::qmp::ModeChoice;

namespace {

struct Series {
    std::vector<double> ms;
    void add(env::Nanoseconds time) { ms.push_back(env::to_ms(time)); }
    [[nodiscard]] std::string median_and_max() {
        std::sort(ms.begin(), ms.end());
        const double median = ms.empty() ? 0 : ms[ms.size() / 2];
        const double max = ms.empty() ? 0 : ms.back();
        return "[" + std::to_string(median) + ", " + std::to_string(max) + "]";
    }
};

void measure(int disk_count, ModeChoice mode, int runs) {
    Lab lab;
    std::vector<DiskSpec> disks;
    std::vector<std::string> names;
    for (int n = 0; n < disk_count; ++n) {
        disks.push_back(
            {.id = "vd" + std::string(1, static_cast<char>('a' + n)), .size = 8192 * MiB});
        names.push_back(disks.back().id);
        lab.make_disk(disks.back());
    }
    GuestVm vm{lab, disks};
    const auto driver = vm.open();
    driver->choose_mode(mode);
    Series prepare, instant, paused, exports, end;
    std::string parent;
    for (int n = 0; n < runs; ++n) {
        for (const auto& name : names) vm.io(name, "write -P 7 1M 1M");
        const std::string point = "p" + std::to_string(n);
        const auto snapshot = need(driver->plan_snapshot(plan_of(lab, names, parent, point)));
        const auto t0 = real_clock.monotonic();
        need(snapshot->prepare(soon(), {}));
        prepare.add(real_clock.monotonic() - t0);
        const auto times = need(snapshot->take(soon()));
        instant.add(times.after - times.before);
        if (times.paused) paused.add(*times.paused);
        const auto t1 = real_clock.monotonic();
        (void)need(snapshot->open_exports(soon()));
        exports.add(real_clock.monotonic() - t1);
        const auto t2 = real_clock.monotonic();
        need(snapshot->end(Snapshot::Outcome::published, soon()));
        end.add(real_clock.monotonic() - t2);
        parent = point;
    }
    std::printf(
        "{\"mode\": \"%s\", \"disks\": %d, \"runs\": %d, \"median_max_ms\": {\"prepare\": %s, "
        "\"instant\": %s, \"paused\": %s, \"exports\": %s, \"end\": %s}}\n",
        mode == ModeChoice::safest ? "copy-before-write" : "backup-job", disk_count, runs,
        prepare.median_and_max().c_str(), instant.median_and_max().c_str(),
        paused.median_and_max().c_str(), exports.median_and_max().c_str(),
        end.median_and_max().c_str());
}

}  // namespace

TEST_CASE("bench: the instant of 1, 2 and 4 disks" * doctest::skip()) {
    for (const ModeChoice mode : {ModeChoice::safest, ModeChoice::only_backup_job}) {
        for (const int disks : {1, 2, 4}) measure(disks, mode, 25);
    }
}
