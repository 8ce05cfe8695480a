#!/usr/bin/env python3
"""SIGINT and SIGTERM at any moment: the command ends with 130 and has cleaned up by itself, the
guest runs on, no point appears, and the next backup is right. A gate holds the phases that are over
in milliseconds.

    test_cancel.py qmp|libvirt
"""
import signal
import subprocess
import time
import unittest

import backup_case
import lab
import qmp_gate
import writing_guest

MOMENTS = {"fast": 4, "normal": 10, "long": 60}[lab.length()]
STOP_SECONDS = 30  # a cancelled backup waits for the guest's answers; emulation on a loaded machine


class Cancelled(backup_case.Backup):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        writing_guest.start_writer(cls.vm)

    def points(self):
        return [item["point"] for item in self.stillpoint.run("points").json["points"]]

    def stop_after(self, seconds, how):
        """@return whether the backup was still under way"""
        before = self.points()
        backup = self.stillpoint.start("backup", *self.access, log="cancelled.log")
        try:
            self.assertIn(backup.wait(seconds), (0, 3))
            return False
        except subprocess.TimeoutExpired:
            backup.send_signal(how)
        status = backup.wait(STOP_SECONDS)
        # It cleans up itself, before it ends: the keeper's ten seconds are for the dead.
        self.assertEqual(self.traces(), self.clean)
        cancelled = status in (130, -how)  # the signal itself: it came before the program's start
        if not cancelled:
            self.assertIn(status, (0, 3))  # the point was there already
        self.assertEqual(len(self.points()) - len(before), 0 if cancelled else 1)
        self.assertEqual(self.vm.state(), "running")
        return cancelled

    def bitmaps(self):
        """Bitmaps of ours by disk: one each, for the newest point."""
        return {node["node-name"]: [bitmap["name"] for bitmap in node["dirty-bitmaps"]]
                for node in self.vm.qmp("query-named-block-nodes", flat=True)
                if node.get("dirty-bitmaps")}

    def timed_backup(self):
        started = time.monotonic()
        point = self.stillpoint.backup(self.access)
        return time.monotonic() - started, point

    def test_at_many_moments(self):
        self.clean = self.traces()
        self.stillpoint.backup(self.access)
        whole, _ = self.timed_backup()  # the first is full and takes longer
        known = self.bitmaps()
        stopped = 0
        for moment in range(MOMENTS):
            with self.subTest(after=f"{moment + 1}/{MOMENTS + 1} of {whole:.1f} s"):
                how = signal.SIGINT if moment % 2 else signal.SIGTERM
                cancelled = self.stop_after(whole * (moment + 1) / (MOMENTS + 1), how)
                stopped += cancelled
                if cancelled:
                    self.assertEqual(self.bitmaps(), known)
                self.wait_writer()
                whole, point = self.timed_backup()
                self.assertEqual(point["level"], "filesystem")
                self.assertEqual({disk["mode"] for disk in point["disks"]}, {"increment"})
                known = self.bitmaps()
        self.assertGreater(stopped, MOMENTS // 4, "hardly one was stopped in the middle")
        self.prove_still_point(self.restore(point))
        self.paused_backup()
        checked = self.stillpoint.run("vault", "check", f"file://{self.stillpoint.vault}",
                                      "--read-data")
        self.assertTrue(checked.json["ok"], checked)


@unittest.skipIf(backup_case.LIBVIRT, "the gate stands in a QMP socket")
class HeldPhase(backup_case.Backup):
    """The signal comes while the backup waits for QEMU's answer to a chosen command."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        writing_guest.start_writer(cls.vm)
        cls.stillpoint.backup(cls.access)

    def stop_at(self, command):
        clean = self.traces()
        gate = qmp_gate.Gate(self.place, self.vm, command)
        access = [self.vm.name, "--qmp", gate.socket, "--guest-channel", self.vm.guest_socket]
        backup = self.stillpoint.start("backup", *access, log="held.log", stderr=subprocess.PIPE,
                                       text=True)
        with backup.stderr:
            gate.held()
            backup.send_signal(signal.SIGTERM)
            # Without this answer the rest of the backup could be over before the signal is seen.
            self.assertIn("stopping", backup.stderr.readline())
            gate.let_go()
            self.assertEqual(backup.wait(STOP_SECONDS), 130)
        self.assertEqual(self.traces(), clean)
        self.assertEqual(self.vm.state(), "running")
        self.wait_writer()
        point = self.stillpoint.backup(self.access)
        self.assertEqual({disk["mode"] for disk in point["disks"]}, {"increment"})

    def test_while_it_prepares(self):
        self.stop_at("nbd-server-start")

    def test_while_the_guest_is_frozen(self):
        self.stop_at("stop")

    def test_before_it_reads(self):
        self.stop_at("block-export-add")


if __name__ == "__main__":
    backup_case.main()
