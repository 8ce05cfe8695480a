#!/usr/bin/env python3
"""A local vault on a server whose folders can only be added to, set up as docs/stores.md says."""
import re
import shutil
import subprocess
import unittest

import images
import lab
import product

MIB = 1 << 20
PROGRAMS = ("mkfs.ext4", "chattr", "losetup", "mount")


class AppendOnly(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.server = self.place.folder / "server"
        self.server.mkdir()
        image = self.place.folder / "ext4.img"
        with open(image, "wb") as file:
            file.truncate(128 * MIB)
        self.run_as_admin(f"mkfs.ext4 -q -F {image} && mount -o loop {image} {self.server}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(self.server)], check=False)
        self.stillpoint = product.Stillpoint(self.place, vault="server/vault")
        self.disk = self.place.folder / "disk.raw"
        self.disk.write_bytes(bytes(8 * MIB))
        self.write(1)

    def run_as_admin(self, script):
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def write(self, number):
        with open(self.disk, "r+b") as file:
            file.seek(number * MIB)
            file.write(bytes([number]) * MIB)

    def backup(self):
        return self.stillpoint.backup(["box", "--image", f"vda=raw:{self.disk}"], expect=3)["point"]

    def documented(self):
        """The commands that docs/stores.md tells the server's administrator."""
        page = (lab.ROOT / "docs/stores.md").read_text()
        block = re.search(r"\n  ```\n  cd /srv/vault\n(.*?)```", page, re.DOTALL).group(1)
        return f"cd {self.stillpoint.vault}\n" + re.sub(r"(?m)\s+#.*$", "", block)

    def test_backups_work_and_nothing_can_be_removed(self):
        self.stillpoint.init()
        self.run_as_admin(self.documented())
        first = self.backup()
        self.write(2)
        second = self.backup()
        self.run_as_admin(self.documented())  # what came since cannot be changed either
        before = {path for path in self.stillpoint.vault.rglob("*") if path.is_file()}
        refused = self.stillpoint.run("forget", first, expect=1)
        self.assertEqual(refused.error, "os.eperm")
        self.write(3)
        self.backup()
        gone = {path for path in before if not path.exists()}
        self.assertEqual({path for path in gone if path.parent.name != "runs"}, set())
        for path in (self.stillpoint.vault / "points").iterdir():
            with self.assertRaises(PermissionError):
                path.unlink()
        with self.assertRaises(PermissionError):
            (self.stillpoint.vault / "config").write_bytes(b"")
        self.assertTrue(self.stillpoint.run("vault", "check", "--read-data").json["ok"])
        self.run_as_admin(f"chattr -R -a -i {self.stillpoint.vault}")
        self.stillpoint.run("forget", first, second)
        self.stillpoint.run("vault", "gc")
        self.run_as_admin(self.documented())
        point = self.backup()
        restored = self.stillpoint.restore(point, self.place.folder / "restored")
        self.assertTrue(images.identical(restored["vda"], self.disk)[0])

    def test_gc_is_refused_before_it_deletes(self):
        self.stillpoint.init()
        first = self.backup()
        self.disk.write_bytes(bytes(8 * MIB))
        self.write(4)
        self.backup()
        self.stillpoint.run("forget", first)
        self.run_as_admin(self.documented())
        packs = set((self.stillpoint.vault / "packs").glob("*/*"))
        self.assertEqual(self.stillpoint.run("vault", "gc", expect=1).error, "os.eperm")
        self.assertLessEqual(packs, set((self.stillpoint.vault / "packs").glob("*/*")))
        self.assertTrue(self.stillpoint.run("vault", "check", "--read-data").json["ok"])


if __name__ == "__main__":
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        lab.skip(f"no {', '.join(missing)}")
    lab.enter()
    unittest.main(verbosity=2)
