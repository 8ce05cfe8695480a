#!/usr/bin/env python3
"""Images that changed places under their paths while the VM was off: each carries a bitmap of the
name that is expected of the other, because one backup gives one name to all disks.

The disks are alike but for one chunk each, and no audit looks: whoever believed the bitmaps would
publish a wrong point.

    test_exchanged.py [PlainQemu|Below|Images|Libvirt]
"""
import shutil
import unittest

import images
import lab
import libvirt_world
import machine
import tracking_case
from tracking_case import everywhere

DISKS = ("vda", "vdb", "vdc")
OWN_CHUNK = "3M"
REPLACED = "the disk was replaced: under its path lies what disk {} held at the last point"


class Exchanged(unittest.TestCase):
    """What the ways to reach a VM share."""
    world_kind, audit, maker = tracking_case.World, '<audit chunks="0"/>', None

    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.world = self.world_kind(self, self.place, "exchanged")
        config = self.world.stillpoint.folder / "host.xml"
        config.write_text(config.read_text().replace("</host>", f"{self.audit}</host>"))
        self.world.make([tracking_case.Case(name, make=self.maker) for name in DISKS])

    def first_point(self):
        """vda and vdb differ in one chunk; vdc equals vda."""
        self.world.start()
        for name in DISKS:
            self.world.vm.io(name, "write -P 7 0 8M")
            self.world.vm.io(name, f"write -P {8 + (name == 'vdb')} {OWN_CHUNK} 64k")
        self.world.backup({name: ("full", "first backup") for name in DISKS})
        for name in DISKS:
            self.world.vm.io(name, "write -P 44 5M 64k")
        self.world.vm.quit()

    def exchange(self, one, other):
        paths = [self.world.disks[name].path for name in (one, other)]
        aside = paths[0].with_suffix(".aside")
        paths[0].rename(aside)
        paths[1].rename(paths[0])
        aside.rename(paths[1])

    def restart(self):
        self.world.start()


class PlainQemu(Exchanged):
    def test_two_that_differ(self):
        self.first_point()
        self.exchange("vda", "vdb")
        self.restart()
        self.world.backup({"vda": ("compare", REPLACED.format("vdb")),
                           "vdb": ("compare", REPLACED.format("vda")), "vdc": ("increment", "")})
        for name in DISKS:
            self.world.vm.io(name, "write -P 45 6M 64k")
        self.world.backup(everywhere([tracking_case.Case(name) for name in DISKS]))

    def test_two_that_are_equal_and_a_disk_that_is_its_own_copy(self):
        """Whatever the bitmap calls clean is the same in both: an increment is right."""
        self.first_point()
        self.exchange("vda", "vdc")
        for name in ("vda", "vdb"):
            shutil.copy(self.world.disks[name].path, self.world.images / f"{name}.copy")
        self.restart()
        self.world.vm.io("vda", "write -P 46 1M 64k")
        self.world.vm.quit()
        for name in ("vda", "vdb"):  # as it was before that write: still younger than the point
            shutil.copy(self.world.images / f"{name}.copy", self.world.disks[name].path)
        self.restart()
        self.world.backup({name: ("increment", "") for name in DISKS})

    def test_one_that_stands_in_for_another(self):
        self.first_point()
        shutil.copy(self.world.disks["vdb"].path, self.world.disks["vda"].path)
        self.restart()
        self.world.backup({"vda": ("compare", REPLACED.format("vdb")), "vdb": ("increment", ""),
                           "vdc": ("increment", "")})

    def test_the_chunk_that_tells_them_apart_was_written(self):
        """What is dirty is read anyway, so that nothing can be wrong, and nothing is noticed."""
        self.first_point()
        self.exchange("vda", "vdb")
        for name in ("vda", "vdb"):
            images.must("qemu-io", "-f", "qcow2", "-c", f"write -P 47 {OWN_CHUNK} 64k",
                        self.world.disks[name].path)
        self.restart()
        self.world.backup({name: ("increment", "") for name in DISKS})


class Below(Exchanged):
    """The images stay, what they build on is exchanged: no bitmap, size or name knows of it."""
    audit, patterns = "", iter((1, 2, 3))

    def maker(self, world, name):
        base = world.images / f"{name}-base.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", base, "16M")
        images.must("qemu-io", "-f", "qcow2", "-c", f"write -P {next(self.patterns)} 8M 8M", base)
        top = world.images / f"{name}.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, top)
        for path in (base, top):
            lab.qemu_owns(path)
        return machine.Disk(name, path)

    def test_the_audit_finds_it(self):
        self.first_point()
        bases = [self.world.images / f"{name}-base.qcow2" for name in ("vda", "vdb")]
        aside = bases[0].with_suffix(".aside")
        bases[0].rename(aside)
        bases[1].rename(bases[0])
        aside.rename(bases[1])
        self.restart()
        found = ("compare", "the audit found change tracking wrong")
        self.world.backup({"vda": found, "vdb": found, "vdc": ("increment", "")})


class Images(Exchanged):
    def test_two_that_differ(self):
        self.first_point()
        self.exchange("vda", "vdb")
        stillpoint = self.world.stillpoint
        words = [self.world.label]
        for name, disk in self.world.disks.items():
            words += ["--image", f"{name}={disk.path}"]
        point = stillpoint.backup(words, expect=3)
        modes = {disk["name"]: (disk["mode"], disk["reason"]) for disk in point["disks"]}
        self.assertEqual(modes, {"vda": ("compare", REPLACED.format("vdb")),
                                 "vdb": ("compare", REPLACED.format("vda")),
                                 "vdc": ("increment", "")})
        restored = stillpoint.restore(point["point"], self.place.folder / "restored")
        for name, disk in self.world.disks.items():
            self.assertTrue(images.identical(disk.path, restored[name],
                                             first_format=disk.format)[0], name)
        point = stillpoint.backup(words, expect=3)
        self.assertEqual({disk["mode"] for disk in point["disks"]}, {"increment"})


class Libvirt(Exchanged):
    world_kind = libvirt_world.DomainWorld

    def restart(self):
        self.world.vm.start()

    def test_two_that_differ(self):
        self.first_point()
        self.exchange("vda", "vdb")
        self.restart()
        self.world.backup({"vda": ("compare", REPLACED.format("vdb")),
                           "vdb": ("compare", REPLACED.format("vda")), "vdc": ("increment", "")})


if __name__ == "__main__":
    lab.enter(libvirt=True)
    unittest.main(verbosity=2)
