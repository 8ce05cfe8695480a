#!/usr/bin/env python3
"""kill -9 at any moment: the guest runs on, nothing is left behind ten seconds later, and the next
backup is right. A host that dies while the guest is frozen: the guest thaws itself.

    test_killed.py qmp|libvirt
"""
import os
import signal
import subprocess
import time
import unittest

import backup_case
import lab
import product
import qmp_gate
import writing_guest

MOMENTS = {"fast": 4, "normal": 8, "long": 60}[lab.length()]
SLACK_SECONDS = 10  # emulation on a loaded machine
TRIES = 3


class Killed(backup_case.Backup):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        writing_guest.start_writer(cls.vm)

    def kill_after(self, seconds, log):
        """Starts a backup and kills it after a while. @return False when it had ended before"""
        backup = self.stillpoint.start("-vv", "backup", *self.access, log=log)
        try:
            backup.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            backup.kill()
            backup.wait()
            return True

    def timed_backup(self):
        """A guest that gets no processor ends its freeze by itself, and says so: then once more."""
        for _ in range(TRIES):
            started = time.monotonic()
            point = self.stillpoint.backup(self.access, expect=(0, 3))
            codes = [warning["code"] for warning in point["warnings"]]
            if codes != ["freeze.not_held"]:
                break
            self.assertEqual(point["level"], "crash")
            print(f"not held: {point['warnings'][0]['text']}", flush=True)
        self.assertEqual(codes, [], point)
        self.assertEqual(point["level"], "filesystem")
        return time.monotonic() - started, point

    def test_at_many_moments(self):
        clean = self.traces()
        self.timed_backup()
        whole, _ = self.timed_backup()  # the first is full and takes longer
        killed = 0
        for moment in range(MOMENTS):
            with self.subTest(after=f"{moment + 1}/{MOMENTS + 1} of {whole:.1f} s"):
                log = f"killed-{moment}.log"
                killed += self.kill_after(whole * (moment + 1) / (MOMENTS + 1), log)
                self.wait_clean(clean)
                # The bitmap of a point that was not to be goes as well; once the point may be
                # durable, only the next backup knows which of the two to keep.
                published = "publishing" in (self.place.folder / log).read_text()
                self.assertLessEqual(self.bitmaps_most(), 2 if published else 1)
                self.assertEqual(self.vm.state(), "running")
                self.wait_writer()
                whole, point = self.timed_backup()
        self.assertGreater(killed, MOMENTS // 4, "hardly one was killed in the middle")
        self.prove_still_point(self.restore(point))
        self.paused_backup()
        checked = self.stillpoint.run("vault", "check", f"file://{self.stillpoint.vault}",
                                      "--read-data")
        self.assertTrue(checked.json["ok"], checked)


@unittest.skipIf(backup_case.LIBVIRT, "the gate stands in a QMP socket")
class HostDies(backup_case.Backup):
    """The backup is held between the freeze and the snapshot, then its host "loses power"."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        writing_guest.start_writer(cls.vm)

    def hold(self):
        gate = qmp_gate.Gate(self.place, self.vm, "stop")
        access = [self.vm.name, "--qmp", gate.socket, "--guest-channel", self.vm.guest_socket]
        backup = self.stillpoint.start("backup", *access, log="held.log")
        gate.held()
        return backup

    def family(self, backup):
        """The process, its worker, and the keeper, which has a session of its own."""
        pids = self.children(backup)
        keepers = subprocess.run(["pidof", "stillpoint-keeper"], capture_output=True, text=True,
                                 check=False)
        return {backup.pid, *pids, *map(int, keepers.stdout.split())}

    @staticmethod
    def children(backup):
        with open(f"/proc/{backup.pid}/task/{backup.pid}/children", encoding="ascii") as children:
            return [int(word) for word in children.read().split()]

    def assert_frozen(self):
        """The writer waits where the kernel lets nobody write."""
        self.assertEqual(self.vm.run("cat /proc/$(pidof stamper)/wchan"), "percpu_rwsem_wait")

    def test_the_keeper_ends_a_hung_owner(self):
        clean = self.traces()
        backup = self.hold()
        worker, = self.children(backup)
        os.kill(worker, signal.SIGSTOP)
        self.wait_writer(product.FREEZE_BUDGET_SECONDS + SLACK_SECONDS)
        self.wait_clean(clean, seconds=30)
        backup.wait(30)
        self.assertEqual(backup.returncode, -signal.SIGKILL)


@unittest.skipIf(backup_case.LIBVIRT, "the gate stands in a QMP socket")
class HostHangs(HostDies):
    test_the_keeper_ends_a_hung_owner = None

    def test_nobody_says_anything(self):
        """No socket is closed, so only the guest's own deadline helps; then everything dies."""
        family = self.family(self.hold())
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        self.assert_frozen()
        self.wait_writer(product.FREEZE_BUDGET_SECONDS + SLACK_SECONDS)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.wait_writer()


if __name__ == "__main__":
    backup_case.main()
