"""What the tests of change tracking share: disks that are cases, their truth, and the proofs.

A round is: writes, a reference picture of every disk, a backup, and then the proof: each disk's
mode and reason, shipped bytes equal to the blocks that really changed, a restore that is equal bit
for bit, and no more bitmaps of ours than promised.
"""
import dataclasses
import hashlib
import json
import os
import re
import unittest

import images
import lab
import machine
import plain_qemu
import product

MIB = 1 << 20
CHUNK = 1 << 16
SECRET = "secret,id=luks,data=still-a-secret"
OURS = "stillpoint-"


@dataclasses.dataclass
class Case:
    """One disk, what happens to it between two backups, and how the next one must treat it."""
    name: str
    upset: object = None  # (world, disk) -> None
    mode: str = "increment"
    reason: str = ""  # a regular expression; empty: no reason is given
    early: object = None  # as upset, one backup earlier
    make: object = None  # (world, name) -> Disk
    absent: tuple = ()  # numbers of the VM's starts in which the disk is not there


def qcow2(*options, size_mib=16, **fields):
    """@return a maker of qcow2 disks; `fields` are Disk's own"""
    def make(world, name):
        path = world.images / f"{name}.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", *options, path, f"{size_mib}M")
        lab.qemu_owns(path)
        return machine.Disk(name, path, **fields)
    return make


def raw(world, name, size_mib=16):
    path = world.images / f"{name}.raw"
    with open(path, "wb") as file:
        file.truncate(size_mib * MIB)
    lab.qemu_owns(path)
    return machine.Disk(name, path, "raw")


def copy_raw(disk, target):
    """A flat copy of a disk that a QEMU may have open."""
    shown = [option for option in disk.options.split(",")
             if option.startswith(("encrypt.", "key-secret="))]
    words = [f"driver={disk.format}", f"file.driver={disk.file_driver}",
             f"file.filename={disk.path}", "force-share=on", *shown]
    images.must("qemu-img", "convert", "--object", SECRET, "--image-opts", "-O", "raw",
                ",".join(words), target)
    return target


def data_blocks(path):
    """@return {block number: (length, digest)} of the blocks of a raw image that are not zero"""
    found, at = {}, 0
    with open(path, "rb") as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // CHUNK * CHUNK
            except OSError:  # nothing but a hole up to the end
                return found
            block = os.pread(file.fileno(), CHUNK, at)
            if any(block):
                found[at // CHUNK] = (len(block), hashlib.blake2b(block).digest())
            at += CHUNK


def seen(path):
    """@return (size, data_blocks) of a raw image, which is removed"""
    found = (path.stat().st_size, data_blocks(path))
    path.unlink()
    return found


def changed_bytes(before, now):
    """Bytes of blocks that are not as they were, and not zero: what must be shipped."""
    return sum(block[0] for number, block in now.items() if before.get(number) != block)


class World:
    """One VM's disks and vault, over several starts of QEMU.

    `key` names its folders; `label` is what Stillpoint is told, which may be another world's too.
    """

    def __init__(self, test, place, key, *, extra=(), vault=None):
        self.test, self.place, self.key, self.label = test, place, key, key
        self.extra = list(extra)
        self.stillpoint = product.Stillpoint(place, vault=vault or f"vault-{key}")
        if vault is None:
            self.stillpoint.init()
        self.images = place.vm_folder(f"img-{key}")
        self.disks, self.pictures, self.starts, self.rounds, self.vm = {}, {}, 0, 0, None

    def make(self, cases):
        for case in cases:
            self.disks[case.name] = (case.make or qcow2())(self, case.name)

    def start(self, cases=(), **options):
        self.starts += 1
        here = [self.disks[case.name] for case in cases if self.starts not in case.absent]
        self.vm = plain_qemu.PlainQemu(self.place, f"{self.key}-{self.starts}",
                                       here or list(self.disks.values()),
                                       extra=["-object", SECRET, *self.extra], **options)
        vm = self.vm
        self.test.addCleanup(lambda: vm.process.poll() is None and vm.kill())
        return vm

    @property
    def access(self):
        return [self.label, "--qmp", self.vm.qmp_socket]

    def present(self):
        return [disk.name for disk in self.vm.disks]

    def write_all(self, offset, pattern, length="64k"):
        """The same write on every disk, each with a pattern of its own."""
        for i, name in enumerate(self.present()):
            if not self.disks[name].tiny:
                self.vm.io(name, f"write -P {(pattern + i) % 255 + 1} {offset} {length}")

    def node_of(self, name):
        """The node that a device sits on, as query-block says."""
        for entry in self.vm.qmp("query-block"):
            if entry.get("qdev", "").split("/")[-2:-1] == [name] or entry.get("qdev") == name:
                return entry["inserted"]
        raise KeyError(name)

    def bitmaps(self, name):
        """Names of the bitmaps on a disk's active layer."""
        return [bitmap["name"] for bitmap in self.node_of(name).get("dirty-bitmaps", [])]

    def picture(self):
        """What all present disks hold. @return {name: (size, data_blocks)}"""
        self.rounds += 1
        folder = self.place.folder / f"pic-{self.key}-{self.rounds}"
        folder.mkdir()
        for name in self.present():
            self.vm.io(name, "flush")  # QEMU keeps qcow2's tables in memory until then
        return {name: seen(copy_raw(self.disks[name], folder / name)) for name in self.present()}

    def backup(self, expected, *arguments, ours=1):
        """A backup of the VM as it is, and the whole proof.
        @param expected {disk: (mode, reason)}
        @param ours how many bitmaps of ours, of all vaults, a disk may have then
        @return the point's document"""
        now = self.picture()
        point = self.stillpoint.backup(self.access, *arguments, expect=3)
        reports = {disk["name"]: disk for disk in point["disks"]}
        self.test.assertEqual(set(reports), set(expected), "disks of the point")
        folder = self.place.folder / f"back-{self.key}-{self.rounds}"
        restored = self.stillpoint.restore(point["point"], folder)
        for name, (mode, reason) in expected.items():
            with self.test.subTest(disk=name, backup=self.rounds):
                before = self.pictures.get(name, (0, {}))
                self.check(reports[name], mode, reason, changed_bytes(before[1], now[name][1]))
                self.test.assertTrue(seen(restored[name]) == now[name], "restored: not the same")
                count = sum(bitmap.startswith(OURS) for bitmap in self.bitmaps(name))
                self.test.assertIn(count, range(1, ours + 1), self.bitmaps(name))
        self.pictures |= {name: now[name] for name in expected}
        return point

    def check(self, report, mode, reason, changed):
        said = json.dumps(report)
        self.test.assertEqual(report["mode"], mode, said)
        if reason:
            self.test.assertTrue(re.search(reason, report["reason"]), said)
        else:
            self.test.assertEqual(report["reason"], "", said)
        self.test.assertEqual(report["shipped"], changed, said)
        if mode == "increment" and report["size"] > MIB:
            self.test.assertLess(report["read"], report["size"], said)


class Tracking(unittest.TestCase):
    """Tests whose worlds live in one lab each."""

    def setUp(self):
        self.place = self.enterContext(lab.Lab())

    def world(self, key, **options):
        return World(self, self.place, key, **options)


def everywhere(cases, mode="increment", reason=""):
    return {case.name: (mode, reason) for case in cases}


def wanted(cases):
    return {case.name: (case.mode, case.reason) for case in cases}


def main():
    lab.enter()
    unittest.main(verbosity=2)
