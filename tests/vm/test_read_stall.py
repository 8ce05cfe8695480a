#!/usr/bin/env python3
"""A store that answers no read any more: restore, verify and check end with a clear error once the
stall limit is over, and a live verification leaves no snapshot behind. Plain QEMU without a guest.

    test_read_stall.py
"""
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

import images
import lab
import machine
import plain_qemu
import product

STALL_SECONDS = 5
ENDING_SECONDS = 10


class ReadStall(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.stillpoint = product.Stillpoint(self.place, configuration=f"""
  <vault stall="{STALL_SECONDS}s"/>""")
        self.stillpoint.init()
        path = self.place.vm_folder("images") / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, "64M")
        lab.qemu_owns(path)
        self.vm = plain_qemu.PlainQemu(self.place, "read", [machine.Disk("vda", path)])
        self.addCleanup(self.vm.kill)
        self.vm.io("vda", "write -P 17 1M 4M")
        self.access = product.access_of(self.vm)
        self.point = self.stillpoint.backup(self.access, expect=3)["point"]
        self.hang()

    def hang(self):
        """Puts a filesystem whose server stands still over each pack: whoever reads one waits."""
        packs = [path for path in (self.stillpoint.vault / "packs").rglob("*") if path.is_file()]
        for number, pack in enumerate(packs):
            content = self.place.folder / f"pack-{number}"
            shutil.copy(pack, content)
            server = self.place.spawn("nbdfuse", "-r", pack, "--command", "nbdkit", "-s", "-r",
                                      "file", content, log="nbdfuse.log")
            self.place.closing.callback(self.let_go, pack, server)
            deadline = lab.Deadline(30)
            while not os.path.ismount(pack):
                self.assertIsNone(server.poll())
                self.assertFalse(deadline.passed())
            server.send_signal(signal.SIGSTOP)

    @staticmethod
    def let_go(pack, server):
        server.kill()
        server.wait()
        subprocess.run(["umount", "-l", pack], check=False)

    def assert_stalls(self, *command):
        seconds = STALL_SECONDS + ENDING_SECONDS
        answer = self.stillpoint.run(*command, expect=1, seconds=seconds)
        self.assertEqual(answer.error, "vault.store_stalled", answer)
        self.assertIn(str(self.stillpoint.vault), answer.json["error"]["text"])

    def test_restore(self):
        self.assert_stalls("restore", self.point, "--to", self.place.folder / "restored")

    def test_verify(self):
        self.assert_stalls("verify", self.point)

    def test_verify_live(self):
        self.assert_stalls("verify", self.point, "--against", "live", *self.access[1:])
        self.assertFalse(any(self.vm.leftovers()), self.vm.leftovers())
        self.assertEqual(self.stillpoint.job_files(), [])

    def test_check(self):
        self.assert_stalls("vault", "check", f"file://{self.stillpoint.vault}", "--read-data")


def usable():
    """@return why this machine cannot have such a store; empty: it can"""
    if not pathlib.Path("/dev/fuse").exists() or not shutil.which("nbdfuse"):
        return "needs nbdfuse and FUSE"
    return ""


if __name__ == "__main__":
    if reason := usable():
        lab.skip(reason)
    lab.enter()
    unittest.main(verbosity=2)
