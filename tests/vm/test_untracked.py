#!/usr/bin/env python3
"""Tracking that lies under a real guest, and a live disk compared with a point.

    test_untracked.py qmp|libvirt
"""
import backup_case
import product
import writing_guest

CHUNK = 65536


class Tracking(backup_case.Backup):
    extension = ""

    def forget_writes(self):
        """Clears our bitmaps on all disks. @return how many"""
        cleared = 0
        for node in self.vm.qmp("query-named-block-nodes", flat=True):
            for bitmap in node.get("dirty-bitmaps", []):
                if bitmap.get("name", "").startswith("stillpoint-"):
                    self.vm.qmp("block-dirty-bitmap-clear", node=node["node-name"],
                                name=bitmap["name"])
                    cleared += 1
        return cleared

    def verify(self, point, name, expect):
        access = product.access_of(self.vm, channel=False)[1:]
        return self.stillpoint.run("verify", point["point"], "--against", "live", "--disk", name,
                                   *access, expect=expect).json

    def test_untracked_writes_are_found(self):
        self.vm.run("dd if=/dev/urandom of=/mnt/a/data bs=64k count=256 && sync")
        first = self.paused_backup()
        clean = self.traces()
        writing_guest.start_writer(self.vm)
        for name in ("vda", "vdb"):
            report = self.verify(first, name, expect=0)
            self.assertTrue(report["ok"], report)
            self.assertEqual(report["note"], "")
        self.assertEqual(self.traces(), clean)

        self.vm.run("dd if=/dev/urandom of=/mnt/a/data bs=64k count=256 conv=notrunc && sync")
        self.vm.pause()
        self.assertEqual(self.forget_writes(), 2)
        self.vm.resume()
        report = self.verify(first, "vda", expect=4)
        self.assertGreater(sum(item["length"] for item in report["damage"]), 128 * CHUNK)
        second = self.paused_backup()
        disk = backup_case.disk_of(second, "vda")
        self.assertEqual(disk["mode"], "compare", disk)
        self.assertIn("audit.mismatch", {item["code"] for item in second["warnings"]})
        self.assertEqual(self.traces(), clean)

        self.vm.run("dd if=/dev/urandom of=/mnt/a/data bs=64k count=4 conv=notrunc && sync")
        third = self.paused_backup()
        disk = backup_case.disk_of(third, "vda")
        self.assertEqual((disk["mode"], disk["audit"]["changed"]), ("increment", 0))
        self.assertTrue(self.verify(third, "vda", expect=0)["ok"])


if __name__ == "__main__":
    backup_case.main()
