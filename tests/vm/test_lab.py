#!/usr/bin/env python3
"""The lab proves itself before anything is tested in it: the guest boots, writes to two disks, is
frozen for real, and the proofs that the backup tests rely on hold for a frozen disk and fail for
a live one.

    test_lab.py qemu|libvirt
"""
import subprocess
import sys
import unittest

import domain
import images
import lab
import machine
import writing_guest


LIBVIRT = sys.argv[1:2] == ["libvirt"]


def copy_live(disk, target):
    """Reads a disk in use as a careless backup would: no snapshot, no freeze."""
    images.must("qemu-img", "convert", "-U", "-f", disk.format, "-O", "raw", disk.path, target)
    return target


class TheLab(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        cls.disks = writing_guest.make_disks(cls.place)
        cls.vm = writing_guest.start(cls.place, cls.disks,
                                     kind=domain.Domain if LIBVIRT else machine.Machine)
        writing_guest.start_writer(cls.vm)

    def test_boots_and_shows_the_channel(self):
        ports = self.vm.run("ls /dev/virtio-ports").split()
        self.assertIn("org.stillpoint.guest.0", ports)

    def test_the_monitor_answers(self):
        self.assertTrue(self.vm.qmp("query-status")["running"])
        self.vm.pause()
        self.assertEqual(self.vm.state(), "paused")
        self.vm.resume()
        self.assertEqual(self.vm.state(), "running")

    @unittest.skipIf(LIBVIRT, "libvirt keeps QEMU's monitor to itself")
    def test_the_product_has_a_monitor_of_its_own(self):
        with machine.connect(self.vm.qmp_socket) as product:
            self.assertIn(b"QMP", product.line(lab.Deadline(10)))

    def test_qemu_is_not_root(self):
        status = subprocess.run(["ps", "-o", "user=", "-p", str(self.vm.pid)],
                                capture_output=True, text=True, check=True)
        self.assertNotEqual(status.stdout.strip(), "root")

    def test_the_writer_stamps_both_disks(self):
        before = writing_guest.read_stamps(self.vm)["b"]["newest"]
        deadline = lab.Deadline(30)
        while writing_guest.read_stamps(self.vm)["b"]["newest"] <= before:
            self.assertFalse(deadline.passed(), "the counter stands still")

    def test_a_frozen_disk_passes_and_a_live_copy_fails(self):
        folder = self.place.vm_folder("copies")
        # Not frozen: the journal of a mounted ext4 has to be replayed.
        live = copy_live(self.disks[0], folder / "live-vda.raw")
        self.assertTrue(images.needs_recovery(live))
        # Frozen: fsfreeze of busybox does what the extension will do.
        self.vm.run("fsfreeze --freeze /mnt/a && fsfreeze --freeze /mnt/b")
        copies = [copy_live(disk, folder / f"{disk.name}.raw") for disk in self.disks]
        self.vm.run("fsfreeze --unfreeze /mnt/b && fsfreeze --unfreeze /mnt/a")
        self.assertFalse(images.needs_recovery(copies[0]))
        stamps = writing_guest.mount_once(self.place, *copies)
        self.assertEqual(writing_guest.complaints(stamps), [])
        for copy, kind in zip(copies, ("ext4", "xfs")):
            clean, output = images.check_clean(copy, kind)
            self.assertTrue(clean, output)

    def test_a_lying_freeze_is_no_freeze(self):
        self.vm.run("lying_freeze /bin/fsfreeze --freeze /mnt/a")
        copy = copy_live(self.disks[0], self.place.vm_folder("copies") / "lie.raw")
        self.assertTrue(images.needs_recovery(copy))

    def test_torn_stamps_are_seen(self):
        good = {"newest": 70, "stamps": 64, "torn": 0, "missing": 0}
        cases = [(good | {"torn": 1}, good), (good, good | {"missing": 2}),
                 (good, good | {"newest": 71}), (good | {"newest": 72}, good)]
        for a, b in cases:
            self.assertNotEqual(writing_guest.complaints({"a": a, "b": b}), [])
        self.assertEqual(writing_guest.complaints({"a": good, "b": good}), [])


if __name__ == "__main__":
    lab.enter(LIBVIRT)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
