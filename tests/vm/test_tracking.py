#!/usr/bin/env python3
"""How a disk is treated after something happened to it while plain QEMU was off or running.

Each case is a disk of one VM, so one odd disk could spoil the others and must not.

    test_tracking.py [Offline|Online|Killed|Clones|Vaults|Migrated]
"""
import shutil

import images
import lab
import machine
import tracking_case
from tracking_case import Case, everywhere, qcow2, raw, wanted

GONE = "the dirty bitmap of the last point is gone"
RAW = "raw images keep none while QEMU is off"
VERSION_2 = "qcow2 images of version 2 .* keep none while QEMU is off"


def resize(size, *options):
    return lambda world, disk: images.must("qemu-img", "resize", "-q", *options, "-f", disk.format,
                                           disk.path, size)


def drop_bitmap(_, disk):
    for name in images.bitmaps(disk.path):
        images.must("qemu-img", "bitmap", "--remove", disk.path, name)


def move(_, disk):
    target = disk.path.with_name("moved-" + disk.path.name)
    disk.path.rename(target)
    disk.path = target


def replace(_, disk):
    new = disk.path.with_suffix(".new")
    images.must("qemu-img", "create", "-q", "-f", "qcow2", new, "16M")
    images.must("qemu-io", "-f", "qcow2", "-c", "write -P 99 1M 1M", new)
    lab.qemu_owns(new)
    new.rename(disk.path)


def set_aside(_, disk):
    shutil.copy(disk.path, disk.path.with_suffix(".aside"))


def put_back(_, disk):
    shutil.copy(disk.path.with_suffix(".aside"), disk.path)


def copy_and_put_back(world, disk):
    set_aside(world, disk)
    disk.path.unlink()
    put_back(world, disk)
    lab.qemu_owns(disk.path)


def to_raw(_, disk):
    target = disk.path.with_suffix(".raw")
    images.to_raw(disk.path, target)
    lab.qemu_owns(target)
    disk.path, disk.format = target, "raw"


def write_offline(_, disk):
    images.must("qemu-io", "-f", disk.format, "-c", "write -P 77 7M 64k", disk.path)


def overlay(_, disk):
    """An external snapshot as people take it of a VM that is off."""
    target = disk.path.with_name("overlay-" + disk.path.name)
    images.must("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk.path, target)
    lab.qemu_owns(target)
    disk.path = target


def overlay_and_commit(world, disk):
    base = disk.path
    overlay(world, disk)
    write_offline(world, disk)
    images.must("qemu-img", "commit", "-q", disk.path)
    disk.path = base


def add_foreign(_, disk):
    images.must("qemu-img", "bitmap", "--add", disk.path, "somebody-elses")


def change_serial(_, disk):
    disk.device = ",serial=another"


OFFLINE = [
    Case("same"),
    Case("copied", copy_and_put_back),
    Case("written", write_offline),
    Case("grown", resize("24M")),
    Case("shrunk", resize("12M", "--shrink"), "compare", "the disk shrank from 16777216 bytes"),
    Case("no-bitmap", drop_bitmap, "compare", GONE),
    Case("moved", move, "compare", r"replaced.* /\S*img-off/moved.qcow2 .*moved-moved.qcow2"),
    Case("replaced", replace, "compare", GONE),
    Case("old-with", put_back, "compare", "older state", early=set_aside),
    Case("convert", to_raw, "compare", r"replaced.*convert.qcow2 \(qcow2\).*convert.raw \(raw\)"),
    Case("overlay", overlay, "compare", "replaced.*overlay.qcow2"),
    Case("committed", overlay_and_commit),
    Case("foreign", add_foreign),
    Case("serial", change_serial, "compare", "serial number was serial-serial and is another"),
    Case("away", absent=(2,)),
    Case("added", mode="full", reason="the disk is new", absent=(1, 2)),
    Case("raw", mode="compare", reason=RAW, make=raw),
    Case("version2", mode="compare", reason=VERSION_2, make=qcow2("-o", "compat=0.10")),
]


class Offline(tracking_case.Tracking):
    def test_what_happens_while_the_vm_is_off(self):
        world = self.world("off")
        world.make(OFFLINE)
        for number in (1, 2):
            world.start(OFFLINE)
            self.assertEqual(world.starts, number)
            world.write_all("1M", number, "2M")
            here = [case for case in OFFLINE if number not in case.absent]
            expected = everywhere(here, "full", "first backup")
            if number == 2:
                expected = everywhere(here)
                expected["raw"], expected["version2"] = ("compare", RAW), ("compare", VERSION_2)
            world.backup(expected)
            world.write_all("5M", number)
            world.vm.quit()
            for case in OFFLINE:
                if change := (case.early if number == 1 else case.upset):
                    change(world, world.disks[case.name])
        world.start(OFFLINE)
        world.write_all("6M", 40)
        world.backup(wanted(OFFLINE))
        self.assertIn("somebody-elses", world.bitmaps("foreign"))
        # From here on each of them has a chain again, also those that only QEMU's memory keeps.
        world.write_all("6M", 80)
        world.backup(everywhere(OFFLINE))


def grow(world, disk):
    world.vm.qmp("block_resize", **{"node-name": f"{disk.name}-format", "size": 24 << 20})
    world.vm.io(disk.name, "write -P 9 20M 64k")


def our_bitmap(world, disk):
    return next(name for name in world.bitmaps(disk.name) if name.startswith(tracking_case.OURS))


def remove_online(world, disk):
    world.vm.qmp("block-dirty-bitmap-remove", node=f"{disk.name}-format",
                 name=our_bitmap(world, disk))


def disable_online(world, disk):
    world.vm.qmp("block-dirty-bitmap-disable", node=f"{disk.name}-format",
                 name=our_bitmap(world, disk))


def snapshot(world, disk):
    target = world.images / f"{disk.name}-overlay.qcow2"
    world.vm.qmp("blockdev-snapshot-sync", **{
        "node-name": f"{disk.name}-format", "snapshot-file": str(target),
        "snapshot-node-name": f"{disk.name}-overlay", "format": "qcow2"})
    disk.path = target
    world.vm.io(disk.name, "write -P 61 8M 64k")


def finish(world, job, command="block-job-complete"):
    """Ends a job when it is ready for it, and waits until it is gone."""
    deadline = lab.Deadline(60)
    while jobs := [each for each in world.vm.qmp("query-block-jobs") if each["device"] == job]:
        if jobs[0].get("ready") and command:
            world.vm.qmp(command, device=job)
            command = ""
        world.test.assertFalse(deadline.passed(), f"job {job} does not end")


def snapshot_and_commit(world, disk):
    base = disk.path
    snapshot(world, disk)
    world.vm.qmp("block-commit", **{"job-id": f"{disk.name}-job",
                                    "device": f"{disk.name}-overlay"})
    finish(world, f"{disk.name}-job")
    disk.path = base


def stream(world, disk):
    world.vm.qmp("block-stream", **{"job-id": f"{disk.name}-job", "device": f"{disk.name}-format"})
    finish(world, f"{disk.name}-job")


def mirror(world, disk):
    target = world.images / f"{disk.name}-copy.qcow2"
    world.vm.qmp("drive-mirror", **{
        "job-id": f"{disk.name}-job", "device": f"{disk.name}-format", "target": str(target),
        "format": "qcow2", "sync": "full", "node-name": f"{disk.name}-copy"})
    finish(world, f"{disk.name}-job")
    disk.path = target


def with_backing(world, name):
    base = world.images / f"{name}-base.qcow2"
    images.must("qemu-img", "create", "-q", "-f", "qcow2", base, "16M")
    images.must("qemu-io", "-f", "qcow2", "-c", "write -P 33 9M 1M", base)
    top = world.images / f"{name}.qcow2"
    images.must("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, top)
    for path in (base, top):
        lab.qemu_owns(path)
    return machine.Disk(name, top)


def foreign_online(world, disk):
    for options in ({"persistent": True}, {"disabled": True}):
        world.vm.qmp("block-dirty-bitmap-add", node=f"{disk.name}-format",
                     name=f"theirs-{len(world.bitmaps(disk.name))}", **options)


ONLINE = [
    Case("same"),
    Case("grown", grow),
    Case("raw-grown", grow, make=raw),
    Case("removed", remove_online, "compare", GONE),
    Case("disabled", disable_online, "compare", "does not record"),
    Case("snapshot", snapshot, "compare", "replaced.*snapshot.qcow2.*snapshot-overlay.qcow2"),
    Case("commit", snapshot_and_commit),
    Case("stream", stream, make=with_backing),
    Case("mirror", mirror, "compare", "replaced.*mirror.qcow2.*mirror-copy.qcow2"),
    Case("foreign", foreign_online),
]


class Online(tracking_case.Tracking):
    def test_what_happens_while_the_vm_runs(self):
        world = self.world("on")
        world.make(ONLINE)
        world.start()
        world.write_all("1M", 1, "2M")
        world.backup(everywhere(ONLINE, "full", "first backup"))
        world.write_all("5M", 1)
        theirs = {}
        for case in ONLINE:
            if case.upset:
                case.upset(world, world.disks[case.name])
            theirs[case.name] = [name for name in world.bitmaps(case.name)
                                 if not name.startswith(tracking_case.OURS)]
        world.write_all("6M", 40)
        world.backup(wanted(ONLINE))
        world.write_all("6M", 80)
        world.backup(everywhere(ONLINE))
        for name, bitmaps in theirs.items():
            self.assertLessEqual(set(bitmaps), set(world.bitmaps(name)), name)


if __name__ == "__main__":
    tracking_case.main()
