#!/usr/bin/env python3
"""libvirtd goes away during a backup and stays away for longer than anybody promised to wait: the
command ends, its keeper goes on, and ten seconds after libvirtd's return nothing is left. A newer
backup that begins at that moment is right.

    test_service_away.py
"""
import json
import os
import select
import signal
import subprocess
import unittest

import images
import lab
import machine
import paused_domain
import product
import soak_backup

CLEAN_SECONDS = 10  # from libvirtd's return on
OWNER_SECONDS = 60  # it may find out only by its own budget
CHANGED_MIB = 64


class ServiceAway(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.stillpoint = product.Stillpoint(self.place, configuration="""
  <limits bandwidth="8MiB/s"/>""")
        self.stillpoint.init()
        path = self.place.vm_folder("images") / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, "128M")
        lab.qemu_owns(path)
        self.vm = paused_domain.PausedDomain(self.place, "away", [machine.Disk("vda", path)])
        self.vm.qmp("cont")
        self.path = path
        self.access = product.access_of(self.vm)
        self.stillpoint.backup(self.access, expect=3)
        noise = self.place.folder / "noise"
        noise.write_bytes(os.urandom(CHANGED_MIB << 20))
        noise.chmod(0o644)
        self.vm.io("vda", f"write -s {noise} 8M {CHANGED_MIB}M")
        self.clean = self.left()

    def left(self):
        nodes = [node["node-name"] for node in self.vm.qmp("query-named-block-nodes")
                 if not node["node-name"].startswith("#block")]
        found = nodes + [str(job) for job in self.vm.qmp("query-jobs")]
        found += [str(export) for export in self.vm.qmp("query-block-exports")]
        found += self.stillpoint.job_files()
        return sorted(found + soak_backup.keepers())

    def start(self):
        """Starts a backup and returns once data flows."""
        backup = self.stillpoint.start("-v", "backup", *self.access, log="away.log")
        deadline = lab.Deadline(60)
        while not self.vm.qmp("query-block-exports"):
            self.assertIsNone(backup.poll(), self.log())
            self.assertFalse(deadline.passed(), "no export")
        return backup

    def log(self):
        return (self.place.folder / "away.log").read_text()

    def send_away(self):
        with open("/run/libvirtd.pid", encoding="ascii") as file:
            pid = int(file.read())
        daemon = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        select.select([daemon], [], [], 30)
        os.close(daemon)

    def call_back(self):
        """Another libvirtd, for this and all later tests."""
        os.spawnl(os.P_NOWAIT, os.environ["STILLPOINT_LIBVIRTD"], "libvirtd.sh")
        deadline = lab.Deadline(120)
        while subprocess.run(["virsh", "version"], capture_output=True, check=False).returncode:
            self.assertFalse(deadline.passed(), "libvirtd does not come back")
            select.select([], [], [], 0.05)
        self.vm.connection = None

    def leave_behind(self):
        """A backup whose owner ended while libvirtd was away; its keeper goes on."""
        backup = self.start()
        self.send_away()
        self.vm.connection = None
        self.assertEqual(backup.wait(OWNER_SECONDS), 1, self.log())
        self.assertIn("goes on trying", self.log())
        self.assertTrue(soak_backup.keepers())
        keeper_log, = self.stillpoint.jobs.glob("*/keeper.log")
        self.assertIn("clean-up failed", keeper_log.read_text())

    def wait_clean(self):
        deadline = lab.Deadline(CLEAN_SECONDS)
        while (left := self.left()) != self.clean:
            self.assertFalse(deadline.passed(), f"left after {CLEAN_SECONDS} s: {left}")
            select.select([], [], [], 0.05)
        print(f"clean {CLEAN_SECONDS - deadline.left():.1f} s after libvirtd's return", flush=True)

    def test_the_keeper_goes_on(self):
        self.leave_behind()
        self.call_back()
        self.wait_clean()
        self.assertTrue(self.vm.qmp("query-status")["running"])

    def test_a_newer_backup_begins_at_once(self):
        self.leave_behind()
        self.call_back()
        deadline = lab.Deadline(60)
        done = self.stillpoint.run("backup", *self.access, expect=None)
        while done.status not in (0, 3):
            # The keeper is at it just now; nothing else may be in the way.
            self.assertEqual(done.error, "backup.running", done)
            self.assertFalse(deadline.passed(), done)
            done = self.stillpoint.run("backup", *self.access, expect=None)
        self.wait_clean()
        self.vm.io("vda", "flush")
        restored = self.stillpoint.restore(done.json["point"], self.place.folder / "restored")
        same, where = images.identical(self.path, restored["vda"], first_format="qcow2",
                                       shared=True)
        self.assertTrue(same, where)
        checked = self.stillpoint.run("vault", "check", f"file://{self.stillpoint.vault}")
        self.assertTrue(checked.json["ok"], json.dumps(checked.json))


if __name__ == "__main__":
    lab.enter(libvirt=True)
    unittest.main(verbosity=2)
