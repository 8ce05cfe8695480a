#!/usr/bin/env python3
"""How a disk is treated after something happened to it behind libvirt: checkpoints and domains that
went, snapshots and block jobs, raw images, other people's checkpoints. No guest is needed.

    test_libvirt_tracking.py [Online|Domains|Migrated|Partial]
"""
import unittest

import images
import lab
import libvirt_world
import second_libvirtd
from tracking_case import Case, everywhere, qcow2, raw, wanted

GONE = "the dirty bitmap of the last point is gone"
CHECKPOINT = """<domaincheckpoint><name>{}</name><disks>
  <disk name='vda' checkpoint='bitmap'/><disk name='vdb' checkpoint='no'/>
</disks></domaincheckpoint>"""


def snapshot(world, disk):
    target = world.images / f"{disk.name}-overlay.qcow2"
    world.virsh("snapshot-create-as", world.vm.name, f"snap-{disk.name}", "--disk-only",
                "--no-metadata", "--diskspec", f"{disk.name},file={target}",
                *(word for other in world.present() if other != disk.name
                  for word in ("--diskspec", f"{other},snapshot=no")))
    disk.path, disk.format = target, "qcow2"
    world.vm.io(disk.name, "write -P 61 8M 64k")


def snapshot_and_commit(world, disk):
    base, base_format = disk.path, disk.format
    snapshot(world, disk)
    world.virsh("blockcommit", world.vm.name, disk.name, "--active", "--pivot", "--wait")
    disk.path, disk.format = base, base_format


def snapshot_and_pull(world, disk):
    snapshot(world, disk)
    world.virsh("blockpull", world.vm.name, disk.name, "--wait")


def copy_and_pivot(world, disk):
    target = world.images / f"{disk.name}-copy.qcow2"
    world.virsh("blockcopy", world.vm.name, disk.name, target, "--format", "qcow2", "--wait",
                "--pivot", "--transient-job")
    disk.path = target


def grow(world, disk):
    world.virsh("blockresize", world.vm.name, disk.name, "24M")
    world.vm.io(disk.name, "write -P 9 20M 64k")


def remove_bitmap(world, disk):
    node = world.node_of(disk.name)
    for name in world.bitmaps(disk.name):
        world.vm.qmp("block-dirty-bitmap-remove", node=node["node-name"], name=name)


def disable_bitmap(world, disk):
    node = world.node_of(disk.name)
    for name in world.bitmaps(disk.name):
        world.vm.qmp("block-dirty-bitmap-disable", node=node["node-name"], name=name)


ONLINE = [
    Case("vda"),
    Case("vdb", grow),
    Case("vdc", remove_bitmap, "compare", GONE),
    Case("vdd", disable_bitmap, "compare", "does not record"),
    Case("vde", snapshot, "compare", "replaced: it was .*vde.qcow2.*vde-overlay.qcow2"),
    Case("vdf", snapshot_and_commit),
    Case("vdg", snapshot_and_pull, "compare", "replaced"),
    Case("vdh", copy_and_pivot, "compare", "replaced"),
    Case("vdi", make=raw),
    Case("vdj", grow, make=raw),
    Case("vdk", make=qcow2("-o", "compat=0.10")),
    Case("vdl", snapshot_and_commit, make=raw),
]


class Online(libvirt_world.DomainTest):
    def test_what_happens_while_the_vm_runs(self):
        world = self.world("on")
        world.make(ONLINE)
        world.start()
        world.write_all("1M", 1, "2M")
        world.backup(everywhere(ONLINE, "full", "first backup"))
        world.write_all("5M", 1)
        for case in ONLINE:
            if case.upset:
                case.upset(world, world.disks[case.name])
        world.write_all("6M", 40)
        world.backup(wanted(ONLINE))
        world.write_all("6M", 80)
        world.backup(everywhere(ONLINE))
        self.assertEqual(len(world.vm.checkpoints()), 1)
        world.virsh("destroy", world.vm.name)
        for case in ONLINE:  # nothing of ours in what is stored, but the newest point's
            disk = world.disks[case.name]
            if disk.format == "qcow2":
                self.assertLessEqual(len(images.bitmaps(disk.path)), 1, case.name)


KINDS = [Case("vda"), Case("vdb", make=raw)]
AFTER_STOP = {"vda": ("increment", ""), "vdb": ("compare", "raw images keep none")}


class Domains(libvirt_world.DomainTest):
    def first(self, key, **options):
        world = self.world(key)
        world.make(KINDS)
        world.start(**options)
        world.write_all("1M", 1, "2M")
        world.backup(everywhere(KINDS, "full", "first backup"))
        world.write_all("5M", 1)
        return world

    def go_on(self, world, expected):
        """The disks were changed; this backup is as expected, and the next an increment."""
        world.write_all("6M", 30)
        world.backup(expected)
        world.write_all("6M", 60)
        world.backup(everywhere(KINDS))

    def test_checkpoints_deleted_by_hand(self):
        world = self.first("byhand")
        (name,) = world.vm.checkpoints()
        world.virsh("checkpoint-delete", world.vm.name, name, "--metadata")
        self.go_on(world, everywhere(KINDS))
        (name,) = world.vm.checkpoints()
        world.virsh("checkpoint-delete", world.vm.name, name)
        self.go_on(world, everywhere(KINDS) | {"vda": ("compare", GONE)})

    def test_other_peoples_checkpoints_stay(self):
        world = self.first("foreign")
        for name in ("theirs-1", "theirs-2"):
            path = world.images / "checkpoint.xml"
            path.write_text(CHECKPOINT.format(name))
            world.virsh("checkpoint-create", world.vm.name, path)
            self.go_on(world, everywhere(KINDS))
        world.virsh("checkpoint-delete", world.vm.name, "theirs-1")
        self.go_on(world, everywhere(KINDS))
        self.assertIn("theirs-2", world.vm.checkpoints())
        self.assertIn("theirs-2", world.bitmaps("vda"))

    def test_shut_off_undefined_and_defined_again(self):
        world = self.first("undef")
        world.vm.quit()
        world.virsh("undefine", world.vm.name, "--checkpoints-metadata")
        world.vm.define()
        world.vm.start()
        self.assertEqual(world.vm.checkpoints(), set())
        self.go_on(world, AFTER_STOP)
        world.virsh("undefine", world.vm.name, "--checkpoints-metadata")  # while it runs
        self.go_on(world, everywhere(KINDS))
        world.vm.define()
        self.go_on(world, everywhere(KINDS))

    def test_a_transient_domain(self):
        world = self.first("trans", transient=True)
        self.go_on(world, everywhere(KINDS))
        world.vm.quit()
        world.start(transient=True)
        self.go_on(world, AFTER_STOP)

    def test_a_killed_qemu(self):
        world = self.first("kill")
        world.vm.kill()
        world.vm.start()
        lost = AFTER_STOP | {"vda": ("compare", "not shut down cleanly")}
        self.go_on(world, lost)
        world.vm.quit()
        world.vm.start()
        world.vm.kill()
        world.vm.start()
        self.go_on(world, lost)

    def test_a_clone_with_another_uuid(self):
        world = self.first("orig")
        world.vm.quit()
        clone = self.world("clone", vault="vault-orig")
        clone.copy_of(world)
        clone.start(uuid=libvirt_world.other_uuid())
        self.assertEqual(len(clone.bitmaps("vda")), 1)
        self.go_on(clone, everywhere(KINDS, "full", "first backup of this VM in this vault"))
        world.vm.start()
        self.go_on(world, AFTER_STOP)

    def test_libvirtd_restarted(self):
        world = self.first("daemon")
        libvirt_world.restart_libvirtd()
        world.vm.connection = None
        self.go_on(world, everywhere(KINDS))


class Migrated(libvirt_world.DomainTest):
    def test_there_and_back(self):
        """Bitmaps in images travel, checkpoints stay behind: here, out of date, on the way back."""
        world = self.world("move")
        world.make(KINDS)
        world.start()
        world.write_all("1M", 1, "2M")
        world.backup(everywhere(KINDS, "full", "first backup"))
        elsewhere = second_libvirtd.SecondLibvirtd(self.place)
        sockets = self.place.vm_folder("sockets")
        for number, uri in enumerate((elsewhere.uri, world.vm.uri)):
            world.write_all("5M", 10 * number + 1)
            world.vm.migrate(uri, sockets)
            self.assertEqual(len(world.bitmaps("vda")), 1)
            world.write_all("6M", 10 * number + 2)
            world.backup(AFTER_STOP)
            world.write_all("6M", 10 * number + 3)
            world.backup(everywhere(KINDS))
            self.assertEqual(len(world.vm.checkpoints()), 1)

    def test_with_its_storage(self):
        """To images of the same path on another storage: libvirt 9.0 takes the bitmaps along."""
        world = self.world("carry")
        world.make(KINDS)
        world.start()
        world.write_all("1M", 1, "2M")
        world.backup(everywhere(KINDS, "full", "first backup"))
        world.write_all("5M", 1)
        elsewhere = second_libvirtd.SecondLibvirtd(self.place, hidden=world.images)
        for disk in world.disks.values():
            path = elsewhere.images / disk.path.name
            images.must("qemu-img", "create", "-q", "-f", disk.format, path, "16M")
            lab.qemu_owns(path)
        sockets = self.place.vm_folder("sockets")
        world.vm.migrate(elsewhere.uri, sockets, "--copy-storage-all", "--disks-uri",
                         f"unix://{sockets}/disks.sock")
        for disk in world.disks.values():  # as this side sees them
            disk.path = elsewhere.images / disk.path.name
        world.write_all("6M", 2)
        world.backup(AFTER_STOP)
        world.write_all("6M", 3)
        world.backup(everywhere(KINDS))


class Partial(libvirt_world.DomainTest):
    def test_a_backup_of_some_disks_keeps_the_others_chains(self):
        cases = [Case("vda"), Case("vdb"), Case("vdc", make=raw)]
        world = self.world("part")
        world.make(cases)
        world.start()
        world.write_all("1M", 1)
        world.backup(everywhere(cases, "full", "first backup"))
        world.write_all("2M", 1)
        world.backup(everywhere(cases[:1]), "--disk", "vda")
        world.write_all("3M", 1)
        world.backup(everywhere(cases))

    def test_hot_plugged_unplugged_and_plugged_again(self):
        cases = [Case("sda"), Case("sdb")]
        world = self.world("plug")
        world.make(cases)
        world.start(["sda"])
        world.backup(everywhere(cases[:1], "full", "first backup"))
        world.vm.attach(world.disks["sdb"])
        world.write_all("1M", 1)
        world.backup(everywhere(cases[:1]) | {"sdb": ("full", "the disk is new")})
        world.write_all("2M", 1)
        world.vm.detach(world.disks["sdb"])
        world.backup(everywhere(cases[:1]))
        world.vm.attach(world.disks["sdb"])
        world.write_all("3M", 1)
        world.backup(everywhere(cases))

    def test_two_vaults_in_turn(self):
        cases = [Case("vda"), Case("vdb", make=raw)]
        world = self.world("turn")
        world.make(cases)
        world.start()
        world.backup(everywhere(cases, "full", "first backup"))
        other = self.world("other")
        other.vm, other.disks = world.vm, world.disks
        world.write_all("1M", 1)
        other.backup(everywhere(cases, "full", "first backup"), ours=2)
        for i in range(2):
            for each in (world, other):
                world.write_all(f"{3 + i}M", 20 + 3 * i + (each is other))
                each.backup(everywhere(cases), ours=2)
        self.assertEqual(len(world.vm.checkpoints()), 2)


if __name__ == "__main__":
    lab.enter(libvirt=True)
    unittest.main(verbosity=2)
