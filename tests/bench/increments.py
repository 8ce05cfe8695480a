#!/usr/bin/env python3
"""What an increment ships and how long it takes, side by side with Debian's virtnbdbackup.

    increments.py [--json FILE] [--size MIB] [--only stillpoint|virtnbdbackup]

Each tool has a paused libvirt domain of its own with the same disk and the same changes, made from
one seed. Prints a table; "-" means that the tool made no increment there, and why is said below it.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm"))
BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
os.environ.setdefault("STILLPOINT_BUILD", str(BUILD))

# pylint: disable=wrong-import-position
import images  # noqa: E402
import lab  # noqa: E402
import machine  # noqa: E402
import paused_domain  # noqa: E402
import product  # noqa: E402

MIB = 1 << 20
CHUNK = 1 << 16
PIECES = 512
TIMEOUT_SECONDS = 1800


class Subject:
    """A paused domain with one disk."""

    def __init__(self, place, name, number, size):
        self.place, self.size = place, size
        self.random = random.Random(31)
        path = place.vm_folder(f"img-{name}") / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, str(size))
        lab.qemu_owns(path)
        self.vm = paused_domain.PausedDomain(place, name, [machine.Disk("vda", path)],
                                             uuid=paused_domain.UUID.format(number))
        self.rounds = 0

    def io(self, what):
        self.vm.io("vda", what)

    def pieces(self):
        """512 chunks at random places of the disk. @return bytes changed"""
        for number in self.random.sample(range(self.size // CHUNK), PIECES):
            self.io(f"write -P {self.random.randrange(1, 256)} {number * CHUNK} {CHUNK}")
        return PIECES * CHUNK

    def sequential(self, size):
        """Noise from the first byte on, another one each time. @return bytes changed"""
        self.rounds += 1
        noise = self.place.folder / f"noise-{self.rounds}"
        if not noise.exists():
            noise.write_bytes(random.Random(self.rounds).randbytes(64 * MIB))
            noise.chmod(0o644)
        for at in range(0, size, 64 * MIB):
            self.io(f"write -s {noise} {at} {min(64 * MIB, size - at)}")
        return size

    def trim(self, size):
        for at in range(0, size, 32 * MIB):
            self.io(f"discard {at} {min(32 * MIB, size - at)}")
        return size

    def killed(self):
        changed = self.pieces()
        self.io("flush")
        self.vm.kill()
        self.vm.start()
        return changed


class Stillpoint:
    name = "stillpoint"

    def __init__(self, place, key):
        self.product = product.Stillpoint(place, vault=f"vault-{key}")
        self.product.init()

    def backup(self, subject):
        point = self.product.run("backup", subject.vm.name, "--connect", "qemu:///system",
                                 expect=3, seconds=TIMEOUT_SECONDS).json
        (disk,) = point["disks"]
        return {"mode": disk["mode"], "shipped": disk["shipped"], "read": disk["read"],
                "stored": point["stored_total"]}


class VirtNbdBackup:
    name = "virtnbdbackup"

    def __init__(self, place, key):
        self.target, self.scratch = place.folder / f"vnb-{key}", place.vm_folder(f"scr-{key}")
        self.socket, self.level = self.scratch / "nbd.sock", "full"

    def backup(self, subject):
        before = self.bytes()
        done = subprocess.run(
            ["virtnbdbackup", "-d", subject.vm.name, "-l", self.level, "-o", self.target, "-n",
             "-S", self.scratch, "-f", self.socket], capture_output=True, text=True,
            timeout=TIMEOUT_SECONDS, check=False)
        if done.returncode != 0:
            return {"failed": (done.stdout + done.stderr).strip().splitlines()[-1]}
        mode, self.level = self.level, "inc"
        written = self.bytes() - before
        return {"mode": mode, "shipped": written, "read": None, "stored": written}

    def bytes(self):
        return sum(path.stat().st_size for path in self.target.rglob("*.data")) \
            if self.target.exists() else 0


def timed(tool, subject):
    start = time.monotonic()
    result = tool.backup(subject)
    return result | {"seconds": round(time.monotonic() - start, 2)}


def changes(tool, subject, size):
    """The five kinds of change, one after the other. @return {kind: result}"""
    subject.sequential(size)
    results = {"full": timed(tool, subject) | {"changed": size}}
    for kind, change in (("nothing", lambda: 0), ("512 x 64 KiB random", subject.pieces),
                         ("sequential", lambda: subject.sequential(size)),
                         ("discard", lambda: subject.trim(size)),
                         ("lost bitmap", subject.killed)):
        changed = change()
        results[kind] = timed(tool, subject) | {"changed": changed}
    return results


def sizes(tool, subject):
    """An increment of 32 MiB on a sparse disk. @return seconds of each of three"""
    tool.backup(subject)
    samples = []
    for _ in range(3):
        subject.pieces()
        samples.append(timed(tool, subject))
    return samples


def measure(options):
    found = {}
    with lab.Lab() as place:
        for kind in (Stillpoint, VirtNbdBackup):
            if options.only not in (None, kind.name):
                continue
            if kind is VirtNbdBackup and not shutil.which("virtnbdbackup"):
                continue
            found[kind.name] = run(place, kind, options.size * MIB)
    return found


def run(place, kind, size):
    results = {}
    for number, (key, bytes_) in enumerate((("same", 2 * size), ("gib", 1 << 30),
                                            ("huge", 16 << 40)), start=1):
        subject = Subject(place, f"{kind.name[:2]}{key}", number, bytes_)
        tool = kind(place, f"{kind.name[:2]}{key}")
        results[key] = changes(tool, subject, size) if key == "same" else sizes(tool, subject)
        subject.vm.remove()
        print(kind.name, key, json.dumps(results[key]), file=sys.stderr, flush=True)
    return results


def table(found):
    for name, results in found.items():
        print(f"\n{name}\n{'change':22}{'changed':>12}{'shipped':>12}{'ratio':>8}{'stored':>12}"
              f"{'seconds':>9}  mode")
        for kind, one in results["same"].items():
            if "failed" in one:
                print(f"{kind:22}{one['changed']:12}{'-':>12}   {one['failed']}")
                continue
            ratio = f"{one['shipped'] / one['changed']:.3f}" if one["changed"] else ""
            print(f"{kind:22}{one['changed']:12}{one['shipped']:12}{ratio:>8}{one['stored']:12}"
                  f"{one['seconds']:9.2f}  {one['mode']}")
        for key, title in (("gib", "1 GiB sparse"), ("huge", "16 TiB sparse")):
            print(f"32 MiB of changes on {title}: "
                  + ", ".join(one.get("failed") or f"{one['seconds']} s" for one in results[key]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large changes")
    parser.add_argument("--only", choices=("stillpoint", "virtnbdbackup"))
    options = parser.parse_args()
    lab.enter(libvirt=True)
    found = measure(options)
    table(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
