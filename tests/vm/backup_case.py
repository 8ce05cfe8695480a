"""What tests of whole backups share: a guest with the extension, a vault, and the proofs.

A test program's first argument says how the VM is reached: qmp or libvirt.
"""
import sys
import unittest

import domain
import images
import lab
import machine
import product
import writing_guest

LIBVIRT = sys.argv[1:2] == ["libvirt"]
KIND = domain.Domain if LIBVIRT else machine.Machine


def disk_of(point, name):
    return next(disk for disk in point["disks"] if disk["name"] == name)


class Backup(unittest.TestCase):
    """One guest with the extension, and a vault, for the tests of a class."""
    extension = writing_guest.EXTENSION

    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        cls.stillpoint = product.Stillpoint(
            cls.place, greet_seconds=product.GREET_SECONDS if cls.extension else 2)
        cls.stillpoint.init()
        cls.disks = cls.make_disks()
        cls.vm = writing_guest.start(cls.place, cls.disks, kind=KIND, main=cls.extension)
        cls.access = product.access_of(cls.vm)
        cls.restores = 0

    @classmethod
    def make_disks(cls):
        return writing_guest.make_disks(cls.place)

    def restore(self, point):
        type(self).restores += 1
        return self.stillpoint.restore(point["point"], self.place.folder / f"r{self.restores}")

    def prove_still_point(self, restored):
        """The whole proof that filesystems were frozen at one instant."""
        self.assertFalse(images.needs_recovery(restored["vda"]), "ext4 was not frozen")
        stamps = writing_guest.mount_once(self.place, restored["vda"], restored["vdb"])
        self.assertEqual(writing_guest.complaints(stamps), [])
        for name, kind in (("vda", "ext4"), ("vdb", "xfs")):
            clean, output = images.check_clean(restored[name], kind)
            self.assertTrue(clean, output)
        return stamps

    def paused_backup(self):
        """Backs up the paused VM and compares each restored disk with what QEMU has."""
        self.vm.pause()
        point = self.stillpoint.backup(self.access, expect=(0, 3))
        self.assertEqual(self.vm.state(), "paused", "a paused VM stays paused")
        self.assertIn("guest.not_asked", [warning["code"] for warning in point["warnings"]])
        restored = self.restore(point)
        for disk in self.disks:
            same, where = images.identical(disk.path, restored[disk.name],
                                           first_format=disk.format, shared=True)
            self.assertTrue(same, f"{disk.name}: {where}")
        self.vm.resume()
        return point

    def traces(self):
        """What a backup may leave behind: jobs, exports and nodes in QEMU, files of jobs, a job of
        libvirt's; compared with `clean` by the caller."""
        found = [node["node-name"] for node in self.vm.qmp("query-named-block-nodes", flat=True)
                 if not node["node-name"].startswith("#block")]
        found += [str(job) for job in self.vm.qmp("query-jobs")]
        found += [str(export) for export in self.vm.qmp("query-block-exports")]
        found += self.stillpoint.job_files()
        if LIBVIRT and "None" not in images.must("virsh", "domjobinfo", self.vm.name):
            found.append("a libvirt job")
        return sorted(found)

    def bitmaps_most(self):
        """@return of how many points a disk has a bitmap, at most"""
        return max(sum(bitmap.get("name", "").startswith("stillpoint-")
                       for bitmap in node.get("dirty-bitmaps", []))
                   for node in self.vm.qmp("query-named-block-nodes", flat=True))

    def wait_clean(self, clean, seconds=10):
        """Until nothing but `clean` is left: the promise after a kill -9."""
        deadline = lab.Deadline(seconds)
        while (left := self.traces()) != clean:
            self.assertFalse(deadline.passed(), f"left after {seconds} s: {set(left) - set(clean)}")

    def wait_writer(self, seconds=10):
        """Until the writer in the guest makes progress: nothing is frozen."""
        before = writing_guest.read_stamps(self.vm)["b"]["newest"]
        deadline = lab.Deadline(seconds)
        while writing_guest.read_stamps(self.vm)["b"]["newest"] <= before:
            self.assertFalse(deadline.passed(), f"the guest does not write for {seconds} s")


def main():
    lab.enter(LIBVIRT)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
