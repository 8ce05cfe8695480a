#!/usr/bin/env python3
"""Chains of points that go on, or must not: killed QEMUs, clones, two vaults, live migration and
block devices. Plain QEMU without a guest.

    test_chains.py [Killed|Clones|Vaults|Migrated|BlockDevice]
"""
import os
import shutil
import subprocess

import lab
import machine
import tracking_case
from tracking_case import Case, everywhere, qcow2, raw

UUID = "11111111-2222-4333-8444-555555555555"
KINDS = [Case("three"), Case("two", make=qcow2("-o", "compat=0.10")), Case("raw", make=raw)]


class Chains(tracking_case.Tracking):
    def first(self, key, cases, **options):
        """A world whose disks have one point. @return the world"""
        world = self.world(key, **options)
        world.make(cases)
        world.start()
        world.write_all("1M", 1, "2M")
        world.backup(everywhere(cases, "full", "first backup"))
        return world


class Killed(Chains):
    def test_after_a_backup_and_after_a_clean_start(self):
        world = self.first("kill", KINDS)
        world.write_all("5M", 1)
        world.vm.kill()  # the bitmap was never in the file
        world.start()
        world.write_all("6M", 1)
        lost = {"three": ("compare", "gone: QEMU was not shut down cleanly"),
                "two": ("compare", "version 2"), "raw": ("compare", "raw images keep none")}
        world.backup(lost)
        world.write_all("6M", 20)
        world.backup(everywhere(KINDS))
        world.write_all("6M", 30)
        world.vm.quit()
        world.start()
        world.write_all("7M", 30)
        world.vm.kill()  # the bitmap was in the file, and in use
        world.start()
        lost["three"] = ("compare", "inconsistent: QEMU was not shut down cleanly")
        world.backup(lost)
        world.write_all("7M", 40)
        world.backup(everywhere(KINDS))


class Clones(Chains):
    def clone(self, world, key, **options):
        """Another VM from copies of the files; the first one stays off."""
        other = self.world(key, vault=f"vault-{world.key}", **options)
        for name, disk in world.disks.items():
            path = other.images / disk.path.name
            shutil.copy(disk.path, path)
            lab.qemu_owns(path)
            other.disks[name] = machine.Disk(name, path, disk.format)
        return other

    def test_another_uuid_shares_nothing(self):
        cases = [Case("vda")]
        world = self.first("orig", cases, extra=["-uuid", UUID])
        world.write_all("5M", 1)
        world.vm.quit()
        clone = self.clone(world, "clone", extra=["-uuid", UUID.replace("1", "9")])
        clone.start()
        self.assertEqual(len(clone.bitmaps("vda")), 1, "the copy has the original's bitmap")
        clone.write_all("6M", 1)
        clone.backup(everywhere(cases, "full", "first backup of this VM in this vault"))
        world.start()
        world.write_all("6M", 50)
        world.backup(everywhere(cases))
        clone.write_all("6M", 60)
        clone.backup(everywhere(cases))

    def test_the_same_label_elsewhere_proves_nothing(self):
        cases = [Case("vda")]
        world = self.first("label", cases)
        world.vm.quit()
        clone = self.clone(world, "label2")
        clone.label = world.label
        clone.start()
        clone.write_all("6M", 1)
        clone.backup(everywhere(cases, "full", "first backup of this VM in this vault"))

    def test_the_same_vm_from_other_files_is_compared(self):
        cases = [Case("vda")]
        world = self.first("moved", cases, extra=["-uuid", UUID])
        world.write_all("5M", 1)
        world.vm.quit()
        copy = self.clone(world, "moved2", extra=["-uuid", UUID])
        copy.pictures = world.pictures
        copy.start()
        copy.write_all("6M", 1)
        copy.backup(everywhere(cases, "compare", "replaced: it was .*img-moved/.*img-moved2/"))
        # The original again: the newest point of this VM is that of the other files.
        world.pictures = copy.pictures
        world.start()
        world.backup(everywhere(cases, "compare", "replaced: it was .*img-moved2/.*img-moved/"))


class Vaults(Chains):
    def test_two_vaults_in_turn_have_a_chain_each(self):
        cases = [Case("vda"), Case("raw", make=raw)]
        world = self.first("turn", cases)
        other = self.world("other")
        other.label, other.vm, other.disks = world.label, world.vm, world.disks
        world.write_all("5M", 1)
        other.backup(everywhere(cases, "full", "first backup"), ours=2)
        for i in range(2):
            for each in (world, other):
                world.write_all(f"{6 + i}M", 20 + 3 * i + (each is other))
                each.vm = world.vm
                each.backup(everywhere(cases), ours=2)
        world.vm.quit()
        world.start()
        for each in (world, other):
            each.vm = world.vm
            for report in each.backup(self.after_a_stop(), ours=2)["disks"]:
                self.assertEqual(report["shipped"] > 0, each is world, report)

    @staticmethod
    def after_a_stop():
        return {"vda": ("increment", ""), "raw": ("compare", "raw images keep none")}


class Migrated(Chains):
    def migrate(self, world, *, bitmaps):
        """To a second QEMU with the same disks. @return the first one, which is done"""
        source = world.vm
        world.extra = ["-incoming", "defer"]
        target = world.start()
        capabilities = [{"capability": "dirty-bitmaps", "state": bitmaps}]
        for vm in (source, target):
            vm.qmp("migrate-set-capabilities", capabilities=capabilities)
        uri = f"unix:{target.folder}/migration.sock"
        target.qmp("migrate-incoming", uri=uri)
        source.qmp("cont")  # a paused VM's disks would stay inactive on the target
        source.qmp("migrate", uri=uri)
        deadline = lab.Deadline(60)
        while (state := source.qmp("query-migrate")["status"]) != "completed":
            self.assertNotIn(state, ("failed", "cancelled"))
            self.assertFalse(deadline.passed(), f"the migration is still {state}")
        while target.qmp("query-status")["status"] == "inmigrate":
            self.assertFalse(deadline.passed(), "the target does not run")
        target.qmp("stop")
        return source

    def check(self, *, bitmaps, expected):
        world = self.first(f"mig{int(bitmaps)}", KINDS)
        world.write_all("5M", 1)
        source = self.migrate(world, bitmaps=bitmaps)
        answer = world.stillpoint.run("backup", world.label, "--qmp", source.qmp_socket, expect=1)
        self.assertEqual(answer.error, "qmp.migrating")
        source.quit()
        world.write_all("6M", 30)
        world.backup(expected)
        world.write_all("6M", 60)
        world.backup(everywhere(KINDS))

    def test_without_the_capability(self):
        self.check(bitmaps=False,
                   expected={"three": ("increment", ""), "two": ("compare", "version 2"),
                             "raw": ("compare", "raw images keep none")})

    def test_with_dirty_bitmaps(self):
        self.check(bitmaps=True, expected=everywhere(KINDS))


def loop_device(test, world, name):
    """A block device over a file, with a node of its own: the machine's are not ours to change."""
    backing = world.place.folder / f"{name}.loop"
    with open(backing, "wb") as file:
        file.truncate(16 << 20)
    done = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        test.skipTest(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    test.addCleanup(subprocess.run, ["losetup", "--detach", device], check=False)
    path = world.images / name
    os.mknod(path, 0o600 | 0o060000, os.stat(device).st_rdev)
    lab.qemu_owns(path)
    return machine.Disk(name, path, "raw", file_driver="host_device")


class BlockDevice(Chains):
    def test_a_bitmap_while_qemu_runs_and_a_comparison_after_it(self):
        block = Case("block", make=lambda world, name: loop_device(self, world, name))
        cases = [Case("vda"), block]
        world = self.first("block", cases)
        world.write_all("5M", 1)
        world.backup(everywhere(cases))
        world.write_all("6M", 1)
        world.vm.quit()
        world.start()
        world.write_all("7M", 1)
        world.backup(everywhere(cases) | {"block": ("compare", "raw images keep none")})
        world.write_all("7M", 9)
        world.backup(everywhere(cases))


if __name__ == "__main__":
    tracking_case.main()
