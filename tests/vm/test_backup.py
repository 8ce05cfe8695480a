#!/usr/bin/env python3
"""The main job on a real VM: it is backed up while it writes, and what comes back is proven.

    test_backup.py qmp|libvirt
"""
import backup_case
import images
import writing_guest


class WritingGuest(backup_case.Backup):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        writing_guest.start_writer(cls.vm)

    def test_full_then_increments(self):
        first = self.stillpoint.backup(self.access)
        self.assertEqual(first["level"], "filesystem")
        self.assertFalse(first["partial"])
        self.assertGreater(first["frozen_ms"], 0)
        frozen = {item["name"] for item in first["evidence"]
                  if item["kind"] == "filesystem" and item["quiesced"]}
        self.assertEqual(frozen, {"/mnt/a", "/mnt/b"})
        self.assertEqual({disk["mode"] for disk in first["disks"]}, {"full"})
        before = self.prove_still_point(self.restore(first))

        second = self.stillpoint.backup(self.access)
        self.assertEqual(second["level"], "filesystem")
        self.assertEqual(second["parent"], first["point"])
        for name in ("vda", "vdb"):
            disk = backup_case.disk_of(second, name)
            self.assertEqual(disk["mode"], "increment", second["disks"])
            self.assertLess(disk["read"], disk["size"] // 4)
        after = self.prove_still_point(self.restore(second))
        self.assertGreater(after["a"]["newest"], before["a"]["newest"])

        # The first point is untouched by the second.
        again = self.prove_still_point(self.restore(first))
        self.assertEqual(again, before)

    def test_the_commands_about_points(self):
        point = self.stillpoint.backup(self.access)["point"]
        listed = [item["point"] for item in self.stillpoint.run("points").json["points"]]
        self.assertIn(point, listed)
        self.assertEqual(self.stillpoint.run("show", point[:12]).json["point"], point)
        self.assertTrue(self.stillpoint.run("verify", point).json["ok"])
        checked = self.stillpoint.run("vault", "check", f"file://{self.stillpoint.vault}",
                                      "--read-data")
        self.assertTrue(checked.json["ok"])
        if not backup_case.LIBVIRT:
            self.assertEqual(self.vm.log(), "", "QEMU had something to complain about")


class PausedGuest(backup_case.Backup):
    """Byte for byte against the reference that a paused VM is."""
    extension = ""

    def test_every_byte_comes_back(self):
        writing_guest.start_writer(self.vm)
        first = self.paused_backup()
        self.assertEqual(first["level"], "crash")
        self.vm.run("dd if=/dev/urandom of=/mnt/a/data bs=64k count=64 && sync")
        second = self.paused_backup()
        self.assertEqual(backup_case.disk_of(second, "vda")["mode"], "increment")
        # Zeroed and discarded since then: both come back as zeros.
        self.vm.run("dd if=/dev/zero of=/mnt/a/data bs=64k count=32 conv=notrunc && sync"
                    " && dd if=/dev/urandom of=/mnt/b/gone bs=64k count=64 && sync"
                    " && rm /mnt/b/gone && sync && fstrim /mnt/b && fstrim /mnt/a")
        third = self.paused_backup()
        self.assertEqual(backup_case.disk_of(third, "vda")["mode"], "increment")


class LyingGuest(backup_case.Backup):
    """A freeze that is claimed and not done must not pass the proof."""
    extension = writing_guest.EXTENSION.replace("/lab/bin/stillpoint-guest",
                                                "lying_freeze /lab/bin/stillpoint-guest")

    def test_the_proof_fails(self):
        writing_guest.start_writer(self.vm)
        point = self.stillpoint.backup(self.access, expect=(0, 3))
        restored = self.restore(point)
        self.assertTrue(images.needs_recovery(restored["vda"]))
        with self.assertRaises(AssertionError):
            self.prove_still_point(restored)


class NoExtension(backup_case.Backup):
    """Without anything in the guest: all disks at one instant, and the point says so."""
    extension = ""

    def test_crash_consistent(self):
        writing_guest.start_writer(self.vm)
        point = self.stillpoint.backup(self.access, expect=3)
        self.assertEqual(point["level"], "crash")
        self.assertIsNone(point["frozen_ms"])
        self.assertNotEqual(point["warnings"], [])
        restored = self.restore(point)
        self.assertTrue(images.needs_recovery(restored["vda"]))
        stamps = writing_guest.mount_once(self.place, restored["vda"], restored["vdb"])
        self.assertIn(stamps["a"]["newest"] - stamps["b"]["newest"], (0, 1))

    def test_required_level_is_not_reached(self):
        before = self.stillpoint.run("points").json
        answer = self.stillpoint.run("backup", *self.access, "--require", "filesystem", expect=1)
        self.assertNotEqual(answer.error, "")
        self.assertEqual(self.stillpoint.run("points").json, before)


if __name__ == "__main__":
    backup_case.main()
