#!/usr/bin/env python3
"""Disks that are not as one would wish: without bitmaps, grown, zeroed, discarded; and a vault on
a full disk. Plain QEMU without a guest."""
import random

import fault_case
import lab
import product
from fault_case import MIB, Faults, make_disk


class OddDisks(Faults):
    def compare_rounds(self, disk):
        vm = self.start(disk)
        access = product.access_of(vm)
        vm.io(disk.name, "write -P 3 0 8M")
        self.stillpoint.backup(access, expect=3)
        vm.quit()
        vm = self.start(disk, name=f"again{Faults.number}")
        vm.name = access[0]
        access[2] = vm.qmp_socket
        vm.io(disk.name, "write -P 4 1M 64k")
        picture = vm.picture(self.place.folder / f"p{Faults.number}")
        second = self.stillpoint.backup(access, expect=3)
        report = second["disks"][0]
        self.assertEqual(report["mode"], "compare", report)
        self.assertNotEqual(report["reason"], "")
        self.assertEqual(report["shipped"], 65536)
        self.assert_restores(second["point"], picture)

    def test_raw(self):
        self.compare_rounds(make_disk(self.place, f"raw{Faults.number}", 32, image_format="raw"))

    def test_old_qcow2(self):
        self.compare_rounds(make_disk(self.place, f"old{Faults.number}", 32,
                                      options=["-o", "compat=0.10"]))

    def test_zeroed_and_discarded_come_back_as_zeros(self):
        disk = make_disk(self.place, f"z{Faults.number}", 64)
        vm = self.start(disk)
        access = product.access_of(vm)
        vm.io(disk.name, "write -P 170 0 32M")
        self.stillpoint.backup(access, expect=3)
        vm.io(disk.name, "write -z 4M 1M")
        vm.io(disk.name, "discard 8M 1M")
        vm.io(disk.name, "write -P 0 12M 1M")
        vm.io(disk.name, "write -z 16388k 4k")
        picture = vm.picture(self.place.folder / f"p{Faults.number}")
        second = self.stillpoint.backup(access, expect=3)
        self.assertEqual(second["disks"][0]["mode"], "increment")
        self.assertLess(second["disks"][0]["stored"], MIB)
        self.assert_restores(second["point"], picture)

    def test_a_killed_qemu_means_compare(self):
        disk = make_disk(self.place, f"k{Faults.number}", 64)
        vm = self.start(disk)
        access = product.access_of(vm)
        vm.io(disk.name, "write -P 1 0 8M")
        self.stillpoint.backup(access, expect=3)
        vm.io(disk.name, "write -P 2 2M 64k")
        vm.kill()
        vm = self.start(disk, name=f"again{Faults.number}")
        access[2] = vm.qmp_socket
        picture = vm.picture(self.place.folder / f"p{Faults.number}")
        second = self.stillpoint.backup(access, expect=3)
        self.assertEqual(second["disks"][0]["mode"], "compare")
        self.assertIn("bitmap", second["disks"][0]["reason"])
        self.assertEqual(second["disks"][0]["shipped"], 65536)
        self.assert_restores(second["point"], picture)
        third = self.stillpoint.backup(access, expect=3)
        self.assertEqual(third["disks"][0]["mode"], "increment")

    def test_grown(self):
        disk = make_disk(self.place, f"g{Faults.number}", 32)
        vm = self.start(disk)
        access = product.access_of(vm)
        vm.io(disk.name, "write -P 1 0 8M")
        self.stillpoint.backup(access, expect=3)
        vm.qmp("block_resize", **{"node-name": f"{disk.name}-format", "size": 48 * MIB})
        vm.io(disk.name, "write -P 9 40M 1M")
        picture = vm.picture(self.place.folder / f"p{Faults.number}")
        second = self.stillpoint.backup(access, expect=3)
        self.assertEqual(second["disks"][0]["mode"], "increment")
        self.assertEqual(second["disks"][0]["size"], 48 * MIB)
        self.assert_restores(second["point"], picture)

    def test_many_increments_keep_one_bitmap(self):
        disk = make_disk(self.place, f"m{Faults.number}", 32)
        vm = self.start(disk)
        access = product.access_of(vm)
        for i in range(5):
            vm.io(disk.name, f"write -P {i + 1} {i}M 64k")
            point = self.stillpoint.backup(access, expect=3)
            self.assertEqual(len(vm.bitmaps(disk.name)), 1)
        self.assertEqual(point["disks"][0]["shipped"], 65536)

    def test_a_vault_on_a_full_disk(self):
        vm, access = self.small_vm()
        small = self.place.folder / f"small-{Faults.number}"
        small.mkdir()
        lab.mount("tmpfs", small, "size=2m")
        vault = f"file://{small}/vault"
        self.stillpoint.run("vault", "init", vault, "--encryption", "none")
        vm.qmp("human-monitor-command", **{"command-line":
               f'qemu-io -d /machine/peripheral/{self.disk_of(vm)}/virtio-backend '
               '"write -P 5 0 1M"'})
        noise = self.place.folder / "noise"
        noise.write_bytes(random.Random(1).randbytes(8 * MIB))
        noise.chmod(0o644)
        vm.io(self.disk_of(vm), f"write -s {noise} 8M 8M")
        answer = self.stillpoint.run("backup", *access, "--vault", vault, expect=1)
        self.assertIn("space", str(answer.json))
        self.assert_nothing_left(vm)
        self.assertEqual(self.stillpoint.run("points", "--vault", vault).json["points"], [])
        self.assertEqual(vm.bitmaps(self.disk_of(vm)), [])
        # The same VM goes on with a vault that has room.
        self.stillpoint.backup(access, expect=3)


if __name__ == "__main__":
    fault_case.main()
