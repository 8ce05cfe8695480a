#!/usr/bin/env python3
"""What a backup costs the guest's writes: p50, p99 and mean as QEMU's device counts them, before
and during a backup with a fast store, one that hangs, and scratch on a slow disk. "After" is
"before" once more: how far the two are apart is the noise of the machine.

    latency.py qmp|libvirt [--seconds N] [--json FILE]
"""
import argparse
import json
import os
import pathlib
import re
import select
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm"))
BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
os.environ.setdefault("STILLPOINT_BUILD", str(BUILD))

# pylint: disable=wrong-import-position
import domain  # noqa: E402
import hanging_store  # noqa: E402
import images  # noqa: E402
import lab  # noqa: E402
import machine  # noqa: E402
import product  # noqa: E402
import slow_disk  # noqa: E402

DISK_MIB = 512
SLOW_WRITE_MS = 20  # a write to the slow scratch's disk
BOUNDARIES = [int(20_000 * 1.15 ** step) for step in range(110)]  # 20 us to 95 s
# 16 KiB each, all over the disk: clusters that the snapshot has to keep turn up all the time.
WRITER = f"""
while :; do
  for offset in 0 7 3 11 5 13 1 9; do
    dd if=/dev/zero of=/dev/vda bs=16k seek=$((offset * {DISK_MIB * 4})) count={DISK_MIB * 4} \
       oflag=direct conv=notrunc 2>/dev/null
  done
done >/dev/null 2>&1 &
"""


class Bench:
    def __init__(self, place, options):
        self.place, self.options = place, options
        self.store = hanging_store.HangingStore(place)
        self.stillpoint = product.Stillpoint(place, vault="store/vault", configuration="""
  <vault stall="10min"/>""")
        self.stillpoint.init()
        path = place.vm_folder("images") / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=falloc", path,
                    f"{DISK_MIB}M")
        lab.qemu_owns(path)
        kind = domain.Domain if options.driver == "libvirt" else machine.Machine
        self.vm = kind(place, "bench", [machine.Disk("vda", path)], guest_port=False)
        self.vm.wait_ready()
        self.vm.run("dd if=/dev/urandom of=/run/seed bs=1M count=16 2>/dev/null;"
                    f" for n in $(seq {DISK_MIB // 16}); do cat /run/seed; done >/dev/vda; sync")
        self.device = next(item["qdev"] for item in self.vm.qmp("query-block") if item.get("qdev"))
        self.vm.run(WRITER)

    def count(self):
        stats = next(item["stats"] for item in self.vm.qmp("query-blockstats")
                     if item.get("qdev") == self.device)
        return stats["wr_operations"], stats["wr_total_time_ns"], stats["wr_latency_histogram"]

    def measure(self, seconds, until=None):
        """@param until a process: measures until it ends, at most so long"""
        self.vm.qmp("block-latency-histogram-set", id=self.device,
                    **{"boundaries-write": BOUNDARIES})
        before = self.count()
        if until:
            hanging_store.process_wait(until, seconds)
        else:
            select.select([], [], [], seconds)
        after = self.count()
        writes = after[0] - before[0]
        bins = after[2]["bins"]
        edges = [0, *after[2]["boundaries"]]

        def percentile(share):
            seen, wanted = 0, share * sum(bins)
            for edge, count in zip(edges[1:] + [edges[-1]], bins):
                seen += count
                if seen >= wanted:
                    return edge / 1e6
            return edges[-1] / 1e6

        return {"writes": writes, "mean_ms": (after[1] - before[1]) / max(writes, 1) / 1e6,
                "p50_ms": percentile(0.5), "p99_ms": percentile(0.99)}

    def backup(self, *arguments):
        return self.stillpoint.start("-v", "backup", *product.access_of(self.vm), "--full",
                                     *arguments, log="bench.log")

    def wait_export(self, backup):
        deadline = lab.Deadline(60)
        while not self.vm.qmp("query-block-exports"):
            if deadline.passed() or backup.poll() is not None:
                raise RuntimeError((self.place.folder / "bench.log").read_text())

    def during(self, *arguments, hang=False):
        log = self.place.folder / "bench.log"
        told = len(log.read_text()) if log.exists() else 0
        backup = self.backup(*arguments)
        self.wait_export(backup)
        if hang:
            self.store.hang()
        found = self.measure(self.options.seconds if hang else 120, until=backup)
        self.store.answer()
        found["status"] = backup.wait(product.BACKUP_SECONDS)
        slowed = re.search(r"read more slowly for (\d+) s", log.read_text()[told:])
        found["slowed_s"] = int(slowed[1]) if slowed else 0
        return found


def measure(options):
    with lab.Lab() as place:
        bench = Bench(place, options)
        return {"before": bench.measure(options.seconds), "fast store": bench.during(),
                "store hangs": bench.during(hang=True),
                "gentle, 8 MiB/s": bench.during("--bandwidth", "8MiB"),
                "slow scratch": bench.during(
                    "--scratch", slow_disk.slow_folder(place, SLOW_WRITE_MS)),
                "after": bench.measure(options.seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver", choices=["qmp", "libvirt"])
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--json")
    options = parser.parse_args()
    if reason := hanging_store.usable():
        lab.skip(reason)
    lab.enter(options.driver == "libvirt")
    phases = measure(options)
    for found in phases.values():
        found["p99_ratio"] = found["p99_ms"] / phases["before"]["p99_ms"]
    for name, found in phases.items():
        print(f"{name:18}" + "".join(f"  {key} {value:10.2f}" for key, value in found.items()))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(phases, indent=1))


if __name__ == "__main__":
    main()
