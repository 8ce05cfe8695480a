#!/usr/bin/env python3
"""A store that hangs in the kernel, a stop wish and a kill -9 meanwhile: the guest's snapshot ends
within ten seconds all the same, the command says what happened, and the next backup is right.

    test_stall.py qmp|libvirt
"""
import json
import random
import select
import signal
import sys
import unittest

import hanging_store
import images
import lab
import machine
import paused_domain
import plain_qemu
import product

MIB = 1 << 20
LIBVIRT = sys.argv[1:2] == ["libvirt"]
STALL_SECONDS = 5
PROMISED_SECONDS = 10
CHANGED_MIB = 64


class Stall(unittest.TestCase):
    stall = f"{STALL_SECONDS}s"

    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.store = hanging_store.HangingStore(self.place)
        # Slow enough that the store hangs while there is still much to ship.
        self.stillpoint = product.Stillpoint(self.place, vault="store/vault", configuration=f"""
  <vault stall="{self.stall}"/>
  <limits bandwidth="16MiB/s"/>""")
        self.stillpoint.init()
        folder = self.place.vm_folder("images")
        path = folder / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, "128M")
        lab.qemu_owns(path)
        self.disk = machine.Disk("vda", path)
        # Without a guest: one that opens a serial port meanwhile keeps libvirt busy (ADR-0014).
        kind = paused_domain.PausedDomain if LIBVIRT else plain_qemu.PlainQemu
        self.vm = kind(self.place, "stalled", [self.disk])
        self.vm.qmp("cont")
        self.access = product.access_of(self.vm)
        self.noise = random.Random(3)
        self.io("write -P 17 0 4M")
        self.stillpoint.backup(self.access, expect=3)
        self.clean = self.traces()

    def tearDown(self):
        self.store.answer()
        if not LIBVIRT and self.vm.process.poll() is None:
            self.vm.kill()

    def io(self, what):
        node = next(item["qdev"] for item in self.vm.qmp("query-block") if item.get("qdev"))
        self.vm.qmp("human-monitor-command", **{"command-line": f'qemu-io -d {node} "{what}"'})

    def change(self):
        noise = self.place.folder / "noise"
        noise.write_bytes(self.noise.randbytes(CHANGED_MIB * MIB))
        noise.chmod(0o644)
        self.io(f"write -s {noise} 8M {CHANGED_MIB}M")

    def traces(self):
        """What a backup must not leave: jobs, exports, nodes, files, bitmaps but the one in use."""
        nodes = self.vm.qmp("query-named-block-nodes")
        found = [node["node-name"] for node in nodes if not node["node-name"].startswith("#block")]
        found += [str(job) for job in self.vm.qmp("query-jobs")]
        found += [str(export) for export in self.vm.qmp("query-block-exports")]
        bitmaps = {bitmap["name"] for node in nodes for bitmap in node.get("dirty-bitmaps", [])
                   if bitmap.get("name")}  # a filter has one without
        found += self.stillpoint.job_files()
        return sorted(found), sorted(bitmaps)

    def wait_clean(self, seconds=PROMISED_SECONDS):
        deadline = lab.Deadline(seconds)
        while (left := self.traces())[0] != self.clean[0] or left[1] != self.clean[1]:
            self.assertFalse(deadline.passed(), f"left after {seconds} s: {left}")
            select.select([], [], [], 0.05)
        self.assertTrue(self.vm.qmp("query-status")["running"])

    def start(self):
        """Starts a backup and returns once data flows."""
        self.change()
        backup = self.stillpoint.start("backup", *self.access, log="stalled.log")
        deadline = lab.Deadline(60)
        while not self.vm.qmp("query-block-exports"):
            self.assertIsNone(backup.poll(), self.log())
            self.assertFalse(deadline.passed(), "no export")
        return backup

    def start_and_hang(self):
        backup = self.start()
        self.store.hang()
        hanging_store.wait_stuck(backup)
        return backup

    def log(self):
        return (self.place.folder / "stalled.log").read_text()

    def prove_next(self):
        """The store answers again: an increment that holds all, in a vault without damage."""
        self.store.answer()
        point = self.stillpoint.backup(self.access, expect=3)
        self.assertEqual(point["disks"][0]["mode"], "increment", point)
        self.io("flush")
        restored = self.stillpoint.restore(point["point"], self.place.folder / "restored")
        same, where = images.identical(self.disk.path, restored["vda"], first_format="qcow2",
                                       shared=True)
        self.assertTrue(same, where)
        self.assertEqual(len(self.traces()[1]), 1)
        checked = self.stillpoint.run("vault", "check", f"file://{self.stillpoint.vault}",
                                      "--read-data")
        self.assertTrue(checked.json["ok"], checked)

    def assert_stall_reported(self, backup, seconds):
        self.assertEqual(backup.wait(seconds), 1)
        error = json.loads(self.log()[self.log().index("{"):])["error"]
        self.assertEqual(error["code"], "vault.store_stalled")
        self.assertIn(str(self.stillpoint.vault), error["text"])


class StoreHangs(Stall):
    def test_while_disks_are_read(self):
        backup = self.start_and_hang()
        self.assert_stall_reported(backup, STALL_SECONDS + PROMISED_SECONDS)
        self.wait_clean(seconds=0.5)
        self.prove_next()

    def test_before_the_snapshot(self):
        self.change()
        self.store.hang()
        backup = self.stillpoint.start("backup", *self.access, log="stalled.log")
        self.assert_stall_reported(backup, STALL_SECONDS + PROMISED_SECONDS)
        self.wait_clean(seconds=0.5)
        self.prove_next()


class OwnerEnds(Stall):
    """No limit of ours would end the wait in time; whoever is impatient does."""
    stall = "10min"

    def end_by(self, what, status):
        backup = self.start_and_hang()
        backup.send_signal(what)
        self.wait_clean()
        self.assertEqual(backup.wait(PROMISED_SECONDS), status)
        self.prove_next()

    def test_kill_9(self):
        self.end_by(signal.SIGKILL, -signal.SIGKILL)

    def test_interrupt(self):
        self.end_by(signal.SIGINT, 130)

    def test_terminate(self):
        self.end_by(signal.SIGTERM, 130)


if __name__ == "__main__":
    if reason := hanging_store.usable():
        lab.skip(reason)
    lab.enter(LIBVIRT)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
