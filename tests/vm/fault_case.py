"""Faults as a user meets them: plain QEMU without a guest, and a vault for each test."""
import select
import unittest

import images
import lab
import machine
import plain_qemu
import product

MIB = 1 << 20


def make_disk(place, name, size_mib, *, image_format="qcow2", options=()):
    folder = place.vm_folder("images")
    path = folder / f"{name}.{image_format}"
    images.must("qemu-img", "create", "-q", "-f", image_format, *options, path, f"{size_mib}M")
    lab.qemu_owns(path)
    return machine.Disk(name, path, image_format)


class Faults(unittest.TestCase):
    """One lab for all of them."""
    number = 0
    place = None

    def setUp(self):
        Faults.number += 1
        self.stillpoint = product.Stillpoint(self.place, vault=f"vault-{Faults.number}")
        self.stillpoint.init()

    def start(self, *disks, name=None):
        vm = plain_qemu.PlainQemu(self.place, name or f"vm{Faults.number}", list(disks))
        self.addCleanup(lambda: vm.process.poll() is None and vm.kill())
        return vm

    def small_vm(self):
        vm = self.start(make_disk(self.place, f"vd{Faults.number}", 64))
        vm.io(self.disk_of(vm), "write -P 17 1M 4M")
        return vm, product.access_of(vm)

    @staticmethod
    def disk_of(vm):
        return vm.disks[0].name

    def restore(self, point):
        folder = self.place.folder / f"r{Faults.number}-{point[:20]}"
        return self.stillpoint.restore(point, folder)

    def assert_restores(self, point, picture):
        restored = self.restore(point)
        for name, path in picture.items():
            same, where = images.identical(path, restored[name])
            self.assertTrue(same, f"{name}: {where}")

    def assert_nothing_left(self, vm, seconds=10):
        """Polls for the promised ten seconds: no job, node, export, scratch or socket."""
        deadline = lab.Deadline(seconds)
        jobs = self.stillpoint.jobs
        while True:
            nodes, running, exports = vm.leftovers()
            files = list(jobs.glob("*")) if jobs.exists() else []
            if not (nodes or running or exports or files):
                return
            if deadline.passed():
                self.fail(f"left behind: {nodes} {running} {exports} {files}")
            select.select([], [], [], 0.05)


def main():
    lab.enter()
    with lab.Lab() as Faults.place:
        unittest.main(verbosity=2)
