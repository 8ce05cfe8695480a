#!/usr/bin/env python3
"""The second half of quickstart.sh: one VM, three backups, two restores, and what they prove."""
import sys
import time

import images
import lab
import product
import writing_guest

MIB = 1 << 20


class Story:
    """Prints one line per step: what was done, how long it took, what came of it."""

    def __init__(self):
        self.started = time.monotonic()

    def tell(self, step, text):
        seconds = time.monotonic() - self.started
        print(f"  {step:<22}{text} ({seconds:.1f} s)", flush=True)
        self.started = time.monotonic()


def describe(point):
    modes = "/".join(dict.fromkeys(disk["mode"] for disk in point["disks"]))
    read = sum(disk["read"] for disk in point["disks"]) / MIB
    frozen = point["frozen_ms"]
    still = f"guest frozen {frozen:.0f} ms" if frozen is not None else "guest not frozen"
    return (f"{modes}, {point['level']}-consistent, {still}, read {read:.1f} MiB, "
            f"stored {point['stored_total'] / MIB:.1f} MiB")


def require(condition, text):
    if not condition:
        sys.exit(f"\nquickstart: {text}")


def main():
    story = Story()
    with lab.Lab() as place:
        stillpoint = product.Stillpoint(place, greet_seconds=product.GREET_SECONDS)
        stillpoint.init()
        disks = writing_guest.make_disks(place)
        vm = writing_guest.start(place, disks, main=writing_guest.EXTENSION)
        writing_guest.start_writer(vm)
        access = product.access_of(vm)
        story.tell("a small VM", "runs; a program in it writes to an ext4 and an xfs disk")

        first = stillpoint.backup(access)
        story.tell("full backup", describe(first))
        second = stillpoint.backup(access)
        story.tell("increment", describe(second))

        restored = stillpoint.restore(second["point"], place.folder / "second")
        require(not images.needs_recovery(restored["vda"]), "the restored ext4 was not frozen")
        stamps = writing_guest.mount_once(place, restored["vda"], restored["vdb"])
        wrong = writing_guest.complaints(stamps)
        require(not wrong, "; ".join(wrong))
        for name, kind in (("vda", "ext4"), ("vdb", "xfs")):
            clean, output = images.check_clean(restored[name], kind)
            require(clean, output)
        story.tell("restore", "a second VM mounts it: no journal to replay, no torn write, "
                   "both disks from one instant, fsck clean")

        vm.pause()
        third = stillpoint.backup(access, expect=(0, 3))
        restored = stillpoint.restore(third["point"], place.folder / "third")
        for disk in disks:
            same, where = images.identical(disk.path, restored[disk.name],
                                           first_format=disk.format, shared=True)
            require(same, f"{disk.name} differs: {where}")
        story.tell("equality", "VM paused, increment, restore: every byte as on the VM's disks")
    print("\nAll of it happened in a private place that is gone now; nothing was left running.\n"
          "README.md tells how to back up a VM of your own.")


if __name__ == "__main__":
    lab.enter()
    main()
