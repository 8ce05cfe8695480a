#!/usr/bin/env python3
"""VMs that are off: one chain of increments across running and off, a VM that is started while its
disks are backed up, and kill -9 at any moment.

    test_off.py qmp|libvirt
"""
import contextlib
import json
import os
import random
import re
import select
import signal
import subprocess
import time
import unittest

import backup_case
import images
import lab
import machine
import plain_qemu
import product
import writing_guest

MOMENTS = {"fast": 3, "normal": 8, "long": 40}[lab.length()]


class Off(unittest.TestCase):
    """What both ways share: `stillpoint`, `disks`, and how the VM is named while it is off."""

    def off_access(self):
        raise NotImplementedError

    def off_backup(self, *arguments, expect):
        """@return the point, proven to hold what the images hold"""
        point = self.stillpoint.backup(self.off_access(), *arguments, expect=expect)
        self.prove_restored(point)
        for disk in self.disks:
            self.assert_one_bitmap(disk)
        return point

    def prove_restored(self, point):
        type(self).restores += 1
        restored = self.stillpoint.restore(point["point"],
                                           self.place.folder / f"off{self.restores}")
        self.assertEqual(set(restored), {disk.name for disk in self.disks})
        for disk in self.disks:
            same, where = images.identical(disk.path, restored[disk.name],
                                           first_format=disk.format)
            self.assertTrue(same, f"{disk.name}: {where}")
            restored[disk.name].unlink()

    def assert_one_bitmap(self, disk):
        if disk.format == "qcow2":
            self.assertEqual([flags for name, flags in images.bitmaps(disk.path).items()
                              if name.startswith("stillpoint-")], [["auto"]])
            self.assertTrue(images.is_sound(disk.path))

    def assert_modes(self, point, mode):
        self.assertEqual({disk["mode"] for disk in point["disks"]}, {mode}, point["disks"])

    def assert_nothing_left(self, seconds=10):
        """No storage daemon and no file of a job, ten seconds after a kill at the latest."""
        deadline = lab.Deadline(seconds)
        while True:
            daemons = subprocess.run(["pidof", "qemu-storage-daemon"], capture_output=True,
                                     text=True, check=False).stdout.split()
            jobs = self.stillpoint.jobs
            # Killed before its keeper knew of it, a job leaves its folder, with nothing in it.
            # The keeper may be at it: os.walk passes over what vanishes meanwhile.
            files = [f"{folder}/{name}" for folder, folders, names in os.walk(jobs)
                     for name in names + folders * (folder != str(jobs))]
            if not (daemons or files):
                return
            self.assertFalse(deadline.passed(), f"left behind: {daemons} {files}")
            select.select([], [], [], 0.05)

    def daemon_of(self, backup):
        """@return the storage daemon of a running backup once it serves, or None: it has ended"""
        deadline = lab.Deadline(30)
        while backup.poll() is None:
            for socket in self.stillpoint.jobs.glob("*/image/nbd.sock"):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    return int((socket.parent / "daemon").read_text().split()[0])
            self.assertFalse(deadline.passed(), "the backup does not begin")
        return None

    def start_in_the_middle(self, start):
        """Holds a backup while it reads, starts the VM, lets it go on. @return its error"""
        for attempt in range(10):
            log = f"middle{attempt}.log"
            backup = self.stillpoint.start("backup", *self.off_access(), "--full", log=log)
            daemon = self.daemon_of(backup)
            if daemon is None:
                continue  # it was faster than we
            os.kill(daemon, signal.SIGSTOP)
            start()
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon, signal.SIGCONT)
            self.assertEqual(backup.wait(60), 1)
            output = (self.place.folder / log).read_text()
            start_of_json = re.search(r'\{\s*"error"', output).start()
            return json.JSONDecoder().raw_decode(output[start_of_json:])[0]["error"]
        return self.fail("every backup ended before it could be held")

    def kill_at_moments(self, write):
        """@param write changes the disks between two rounds"""
        started = time.monotonic()
        self.stillpoint.backup(self.off_access(), expect=(0, 3))
        whole = time.monotonic() - started
        for moment in range(MOMENTS):
            with self.subTest(moment=moment):
                write(moment)
                backup = self.stillpoint.start("backup", *self.off_access(), log="killed.log")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    backup.wait(whole * (moment + 1) / (MOMENTS + 1))
                backup.kill()
                backup.wait()
                self.assert_nothing_left()
                for disk in self.disks:
                    if disk.format == "qcow2":
                        self.assertTrue(images.is_sound(disk.path))
                        self.assertLessEqual(len(images.bitmaps(disk.path)), 2)
                self.off_backup(expect=(0, 3))
        checked = self.stillpoint.run("vault", "check", f"file://{self.stillpoint.vault}")
        self.assertTrue(checked.json["ok"], checked)


class Domain(Off, backup_case.Backup):
    """Under libvirt, with a guest: the same command whether it runs or not."""
    extension = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        writing_guest.start_writer(cls.vm)

    def off_access(self):
        return self.access

    def write_in_guest(self):
        self.vm.run("dd if=/dev/urandom of=/mnt/a/data bs=64k count=32 2>/dev/null && sync")

    def shut_down(self):
        self.vm.power_off(120)

    def test_one_chain(self):
        first = self.paused_backup()
        self.assert_modes(first, "full")
        self.write_in_guest()
        self.shut_down()

        offline = self.off_backup("--require", "offline", expect=0)
        self.assertEqual((offline["level"], offline["warnings"]), ("offline", []))
        self.assertEqual(offline["parent"], first["point"])
        self.assert_modes(offline, "increment")
        self.assertLess(sum(disk["read"] for disk in offline["disks"]), 100 * images.MIB)
        self.assertEqual(images.must("virsh", "checkpoint-list", self.vm.name, "--name").split(),
                         [])
        again = self.off_backup(expect=0)
        self.assertEqual(sum(disk["shipped"] for disk in again["disks"]), 0)

        self.vm.start_again()
        self.write_in_guest()
        running = self.paused_backup()
        self.assertEqual(running["parent"], again["point"])
        self.assert_modes(running, "increment")
        self.write_in_guest()
        self.vm.quit()  # virsh destroy: QEMU stores its bitmaps, the guest is not asked

        destroyed = self.off_backup(expect=3)
        self.assertEqual(destroyed["level"], "crash")
        self.assertEqual(destroyed["warnings"][0]["code"], "level.unclean_shutdown")
        self.assert_modes(destroyed, "increment")

        self.vm.start_again()
        self.write_in_guest()
        self.assert_modes(self.paused_backup(), "increment")
        self.vm.kill()  # QEMU dies with its bitmaps
        killed = self.off_backup(expect=3)
        self.assert_modes(killed, "compare")
        self.assertIn("bitmap", killed["disks"][0]["reason"])  # never stored, or inconsistent
        self.assertLess(killed["disks"][0]["shipped"], killed["disks"][0]["size"] // 4)
        self.assert_modes(self.off_backup(expect=3), "increment")

        error = self.start_in_the_middle(self.vm.begin_again)
        self.assertEqual(error["code"], "image.vm_started")
        self.assert_nothing_left()
        self.vm.wait_ready()  # it lives, and what it writes is in the next point
        self.write_in_guest()
        self.assert_modes(self.paused_backup(), "increment")
        self.vm.quit()
        self.assert_modes(self.off_backup(expect=3), "increment")

    def test_saved_state_is_no_shutdown(self):
        """`virsh managedsave` leaves disks that belong to a memory image."""
        if self.vm.state() == "shut off":
            self.vm.start_again()
        images.must("virsh", "managedsave", self.vm.name)
        point = self.off_backup(expect=3)
        self.assertEqual(point["level"], "crash")
        images.must("virsh", "managedsave-remove", self.vm.name)


class Killed(Off, backup_case.Backup):
    """Under libvirt: the owner of an offline backup is killed. One disk keeps no bitmap at all."""
    extension = ""

    @classmethod
    def make_disks(cls):
        where = cls.place.vm_folder("disks")
        first = writing_guest.make_disks(cls.place)[0]
        raw = images.make(where / "vdb.raw", writing_guest.XFS_MIB, "xfs", image_format="raw")
        return [first, machine.Disk("vdb", raw, "raw")]

    def off_access(self):
        return self.access

    def test_at_many_moments(self):
        self.stillpoint.backup(self.access, expect=3)
        self.vm.quit()

        def write(moment):
            images.must("qemu-io", "-f", "qcow2", "-c", f"write -P {moment + 1} 32M 16M",
                        self.disks[0].path)
        self.kill_at_moments(write)
        self.vm.start_again()
        point = self.paused_backup()
        self.assertEqual([disk["mode"] for disk in point["disks"]], ["increment", "compare"])


class Images(Off):
    """Plain QEMU, without a guest: --qmp while it runs, --image while it is off, one label."""
    restores = 0

    def setUp(self):
        type(self).restores += 1
        self.number = type(self).restores
        self.place = self.enterContext(lab.Lab())
        self.stillpoint = product.Stillpoint(self.place)
        self.stillpoint.init()
        self.starts = 0
        self.disks = [self.make_disk(name) for name in ("vda", "vdb")]
        noise = random.Random(self.number).randbytes(8 * images.MIB)
        self.noise = self.place.folder / "noise"
        self.noise.write_bytes(noise)
        self.noise.chmod(0o644)

    def make_disk(self, name):
        path = self.place.vm_folder("images") / f"{name}.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, "128M")
        lab.qemu_owns(path)
        return machine.Disk(name, path)

    def off_access(self):
        words = ["web1"]
        for disk in self.disks:
            words += ["--image", f"{disk.name}={disk.path}"]
        return words

    def start_qemu(self, *extra):
        self.starts += 1
        vm = plain_qemu.PlainQemu(self.place, f"vm{self.starts}", self.disks, extra=extra)
        return vm, ["web1", "--qmp", vm.qmp_socket]

    def write_off(self, offset):
        images.must("qemu-io", "-f", "qcow2", "-c", f"write -s {self.noise} {offset} 8M",
                    self.disks[0].path)

    def chain(self, *extra):
        vm, access = self.start_qemu(*extra)
        vm.io("vda", f"write -s {self.noise} 0 8M")
        first = self.stillpoint.backup(access, expect=3)
        self.assert_modes(first, "full")
        vm.io("vda", "write -P 5 1M 64k")
        vm.quit()
        off = self.off_backup(expect=3)
        self.assert_modes(off, "increment")
        self.assertEqual((off["parent"], off["level"], off["uuid"]),
                         (first["point"], "crash", first["uuid"]))
        self.assertEqual(off["disks"][0]["shipped"], 65536)
        vm, access = self.start_qemu(*extra)
        vm.io("vdb", "write -P 6 2M 64k")
        picture = vm.picture(self.place.folder / "picture")
        running = self.stillpoint.backup(access, expect=3)
        self.assert_modes(running, "increment")
        self.assertEqual(running["parent"], off["point"])
        restored = self.stillpoint.restore(running["point"], self.place.folder / "running")
        for name, path in picture.items():
            self.assertTrue(images.identical(path, restored[name])[0], name)
        return vm, access

    def test_one_chain(self):
        vm, _ = self.chain()
        answer = self.stillpoint.run("backup", *self.off_access(), expect=1)
        self.assertEqual(answer.error, "image.in_use")
        self.assertIn(str(self.disks[0].path), str(answer.json))
        vm.quit()

    def test_one_chain_of_a_vm_with_a_uuid(self):
        self.chain("-uuid", "5711b0a2-6f5d-4b0c-9d5e-0123456789ab")

    def test_a_chain_that_begins_off(self):
        self.write_off(0)
        self.assert_modes(self.off_backup(expect=3), "full")
        self.assert_modes(self.off_backup(expect=3), "increment")
        vm, access = self.start_qemu("-uuid", "5711b0a2-6f5d-4b0c-9d5e-0123456789ab")
        self.assert_modes(self.stillpoint.backup(access, expect=3), "increment")
        vm.quit()

    def test_started_in_the_middle(self):
        self.write_off(0)
        self.off_backup(expect=3)
        started = []
        error = self.start_in_the_middle(lambda: started.append(self.start_qemu()))
        self.assertEqual(error["code"], "image.vm_started")
        self.assert_nothing_left()
        vm, access = started[0]
        vm.io("vda", "write -P 7 3M 64k")
        point = self.stillpoint.backup(access, expect=3)
        self.assert_modes(point, "increment")
        self.assertEqual(point["disks"][0]["shipped"], 65536)
        vm.quit()
        self.off_backup(expect=3)

    def test_killed(self):
        self.off_backup(expect=3)
        self.kill_at_moments(lambda moment: self.write_off(f"{8 * (moment % 16)}M"))

    def test_cancelled(self):
        backup = self.stillpoint.start("backup", *self.off_access(), "--full", log="c.log")
        self.daemon_of(backup)
        backup.send_signal(signal.SIGTERM)
        self.assertIn(backup.wait(15), (130, 3))
        self.assert_nothing_left(5)
        self.off_backup(expect=3)

    def test_what_is_asked_wrongly(self):
        run = self.stillpoint.run
        disk = self.disks[0]
        self.assertEqual(run("backup", "x", "--image", "vda", expect=2).error, "image.option")
        self.assertEqual(run("backup", "x", "--image", f"vda={disk.path}x.qcow2",
                             expect=1).error, "image.missing")
        self.assertEqual(run("backup", "x", "--image", f"vda={self.noise}", expect=2).error,
                         "image.format_needed")
        self.assertEqual(run("backup", "x", "--image", f"vda=qcow2:{self.noise}",
                             expect=1).error, "image.unreadable")
        answer = run("backup", "x", "--image", f"vda={disk.path}", "--qmp", "/s", expect=2)
        self.assertIn("--image", answer.log)


if __name__ == "__main__":
    backup_case.main()
