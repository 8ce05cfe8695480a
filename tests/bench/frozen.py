#!/usr/bin/env python3
"""How long a guest is still: backups of the tiny writing guest, and how the milliseconds divide.

    frozen.py qmp|libvirt [--backups N] [--json FILE]
"""
import argparse
import json
import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm"))
BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
os.environ.setdefault("STILLPOINT_BUILD", str(BUILD))

# pylint: disable=wrong-import-position
import domain  # noqa: E402
import lab  # noqa: E402
import machine  # noqa: E402
import product  # noqa: E402
import writing_guest  # noqa: E402


def measure(options):
    samples = []
    with lab.Lab() as place:
        stillpoint = product.Stillpoint(place)
        stillpoint.init()
        kind = domain.Domain if options.driver == "libvirt" else machine.Machine
        vm = writing_guest.start(place, writing_guest.make_disks(place), kind=kind,
                                 main=writing_guest.EXTENSION)
        writing_guest.start_writer(vm)
        for _ in range(options.backups):
            point = stillpoint.backup(product.access_of(vm))
            samples.append({"frozen": point["frozen_ms"], "snapshot": point["snapshot_ms"],
                            "paused": point["paused_ms"] or 0.0})
    for sample in samples:
        # What is neither the snapshot nor the pause: FIFREEZE, FITHAW and two messages.
        sample["guest_and_channel"] = sample["frozen"] - sample["snapshot"]
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver", choices=["qmp", "libvirt"])
    parser.add_argument("--backups", type=int, default=20)
    parser.add_argument("--json")
    options = parser.parse_args()
    lab.enter(options.driver == "libvirt")
    samples = measure(options)
    for name in samples[0]:
        values = [sample[name] for sample in samples]
        print(f"{name + '_ms':24} median {statistics.median(values):8.1f}  max {max(values):8.1f}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(samples, indent=1))


if __name__ == "__main__":
    main()
