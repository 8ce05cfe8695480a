#!/usr/bin/env python3
"""Change tracking that lies: cleared bitmaps, writes past QEMU, a disk cut and grown. It is
found, compared and alerted, and what comes back is right. Plain QEMU without a guest.

    test_audit.py [Audit|Periodic|VerifyLive]
"""
import signal
import subprocess

import fault_case
import images
import lab
import product

MIB = 1 << 20
CHUNK = 65536


class Tracked(fault_case.Faults):
    """A disk with data everywhere and one point of it."""
    size_mib = 64

    def setUp(self):
        super().setUp()
        self.disk = self.make_disk(f"a{fault_case.Faults.number}")
        self.boot()
        self.access = product.access_of(self.vm)
        self.vm.io(self.disk.name, f"write -P 17 0 {self.size_mib // 2}M")
        self.first = self.stillpoint.backup(self.access, expect=3)

    def make_disk(self, name):
        return fault_case.make_disk(self.place, name, self.size_mib)

    def boot(self):
        self.boots = getattr(self, "boots", 0) + 1
        self.vm = self.start(self.disk, name=f"t{fault_case.Faults.number}-{self.boots}")

    def reboot(self, while_off):
        """A clean end of QEMU: its bitmaps are stored and trusted afterwards."""
        self.vm.quit()
        while_off()
        self.boot()
        self.access[2] = self.vm.qmp_socket

    def forget_writes(self):
        """What QEMU tracked since the last point is lost without a sign of it."""
        for bitmap in self.vm.bitmaps(self.disk.name):
            self.vm.qmp("block-dirty-bitmap-clear", node=f"{self.disk.name}-format",
                        name=bitmap["name"])

    def picture(self):
        self.pictures = getattr(self, "pictures", 0) + 1
        folder = self.place.folder / f"pic{fault_case.Faults.number}-{self.pictures}"
        return self.vm.picture(folder)

    def back_up(self):
        """@return the point and its only disk's report; what it restores is proven"""
        picture = self.picture()
        point = self.stillpoint.backup(self.access, expect=3)
        self.assert_restores(point["point"], picture)
        self.assert_nothing_left(self.vm)
        self.assertEqual(len(self.vm.bitmaps(self.disk.name)), 1)
        return point, point["disks"][0]

    @staticmethod
    def codes(point):
        return {warning["code"] for warning in point["warnings"]}

    def configure(self, audit):
        config = self.stillpoint.folder / "host.xml"
        config.write_text(config.read_text().replace("</host>", f"<audit {audit}/></host>"))

    def assert_caught(self):
        point, disk = self.back_up()
        self.assertEqual(disk["mode"], "compare", disk)
        self.assertIn("audit", disk["reason"])
        self.assertIn("audit.mismatch", self.codes(point))
        self.assertGreater(disk["audit"]["changed"], 0)
        self.assertEqual(self.stillpoint.run("show", point["point"]).json["disks"], [disk])
        # Tracking is good again from here on.
        self.vm.io(self.disk.name, "write -P 99 5M 64k")
        after, disk = self.back_up()
        self.assertEqual(disk["mode"], "increment")
        self.assertEqual(disk["shipped"], CHUNK)
        self.assertEqual(disk["audit"]["changed"], 0)
        self.assertNotIn("audit.mismatch", self.codes(after))


class Audit(Tracked):
    def test_an_honest_increment_tells_what_its_audit_would_notice(self):
        self.vm.io(self.disk.name, "write -P 18 1M 128k")
        _, disk = self.back_up()
        self.assertEqual((disk["mode"], disk["read"]), ("increment", 2 * CHUNK))
        audit = disk["audit"]
        self.assertEqual(audit["clean"], self.size_mib * MIB // CHUNK - 2)
        self.assertEqual((audit["chunks"], audit["changed"]), (64, 0))
        self.assertEqual(audit["bytes"], 64 * CHUNK)
        self.assertGreaterEqual(audit["data"], 48)
        self.assertLess(audit["data"], 64)
        self.assertAlmostEqual(audit["notices_1_percent"], 1 - 0.99 ** audit["data"])
        self.assertAlmostEqual(audit["notices_1_permille"], 1 - 0.999 ** audit["data"])
        self.assertIsNone(self.first["disks"][0]["audit"])

    def test_cleared_bitmap(self):
        self.vm.io(self.disk.name, "write -P 18 4M 12M")
        self.forget_writes()
        self.vm.io(self.disk.name, "write -P 19 40M 64k")
        self.assert_caught()

    def test_untracked_zeros_and_data_in_holes(self):
        self.vm.io(self.disk.name, "write -z 4M 12M")
        self.vm.io(self.disk.name, "write -P 18 40M 20M")
        self.forget_writes()
        self.assert_caught()

    def test_switched_off_it_lets_the_lie_pass(self):
        self.configure('chunks="0"')
        self.vm.io(self.disk.name, "write -P 18 4M 12M")
        self.forget_writes()
        point = self.stillpoint.backup(self.access, expect=3)
        self.assertEqual(point["disks"][0]["mode"], "increment")
        self.assertIsNone(point["disks"][0]["audit"])
        self.assertEqual(point["disks"][0]["shipped"], 0)


class PastQemu(Tracked):
    """The guest's data lies in a file of its own, where others can write."""

    def make_disk(self, name):
        folder = self.place.vm_folder("images")
        self.data = folder / f"{name}.data"
        disk = fault_case.make_disk(self.place, name, self.size_mib, options=[
            "-o", f"data_file={self.data},data_file_raw=on"])
        lab.qemu_owns(self.data)
        return disk

    def test_a_write_into_the_image(self):
        def overwrite():
            with open(self.data, "r+b") as image:
                image.seek(4 * MIB)
                image.write(b"\x18" * 12 * MIB)
        self.reboot(overwrite)
        self.assertEqual(len(self.vm.bitmaps(self.disk.name)), 1)
        self.assert_caught()


class Periodic(Tracked):
    """What leaves no trace anywhere is found by reading everything now and then."""

    def test_cut_and_grown_again(self):
        self.configure('chunks="0" compare-every="1"')
        _, disk = self.back_up()
        self.assertEqual(disk["mode"], "increment")

        def cut_and_grow():
            for words in (["--shrink"], []):
                size = 8 if words else self.size_mib
                images.must("qemu-img", "resize", "-q", "-f", "qcow2", *words, self.disk.path,
                            f"{size}M")
            lab.qemu_owns(self.disk.path)
        self.reboot(cut_and_grow)
        self.assertEqual([bitmap["count"] for bitmap in self.vm.bitmaps(self.disk.name)], [0])
        point, disk = self.back_up()
        self.assertEqual(disk["mode"], "compare", disk)
        self.assertTrue(disk["reason"].startswith("periodic compare: 1 increments"), disk)
        self.assertEqual(self.codes(point) & {"audit.mismatch"}, set())
        _, disk = self.back_up()
        self.assertEqual(disk["mode"], "increment")

    def test_cut_and_grown_again_is_seen_by_the_audit(self):
        def cut_and_grow():
            images.must("qemu-img", "resize", "-q", "-f", "qcow2", "--shrink", self.disk.path, "8M")
            images.must("qemu-img", "resize", "-q", "-f", "qcow2", self.disk.path,
                        f"{self.size_mib}M")
            lab.qemu_owns(self.disk.path)
        self.reboot(cut_and_grow)
        point, disk = self.back_up()
        self.assertEqual(disk["mode"], "compare", disk)
        self.assertIn("audit.mismatch", self.codes(point))

    def test_a_smaller_size_is_seen_by_itself(self):
        self.configure('chunks="0"')
        self.reboot(lambda: (images.must("qemu-img", "resize", "-q", "-f", "qcow2", "--shrink",
                                         self.disk.path, "8M"), lab.qemu_owns(self.disk.path)))
        _, disk = self.back_up()
        self.assertEqual(disk["mode"], "compare", disk)
        self.assertIn("shrank", disk["reason"])


class VerifyLive(Tracked):
    def verify(self, point=None, *arguments, expect=0):
        return self.stillpoint.run("verify", point or self.first["point"], "--against", "live",
                                   "--qmp", self.vm.qmp_socket, *arguments, expect=expect)

    def test_all_that_was_not_written_is_equal(self):
        before = self.vm.bitmaps(self.disk.name)
        self.vm.io(self.disk.name, "write -P 18 4M 128k")
        self.vm.io(self.disk.name, "write -z 8M 64k")
        report = self.verify(None, "--disk", self.disk.name).json
        self.assertTrue(report["ok"])
        self.assertEqual(report["damage"], [])
        self.assertEqual(report["written_since"], 3 * CHUNK)
        self.assertEqual(report["note"], "")
        self.assert_nothing_left(self.vm)
        after = self.vm.bitmaps(self.disk.name)
        self.assertEqual([bitmap["name"] for bitmap in after],
                         [bitmap["name"] for bitmap in before])
        self.assertEqual(len(self.stillpoint.run("points").json["points"]), 1)
        # The next increment ships what it would have shipped.
        _, disk = self.back_up()
        self.assertEqual((disk["mode"], disk["shipped"]), ("increment", 2 * CHUNK))

    def test_untracked_differences_are_named(self):
        self.vm.io(self.disk.name, "write -P 18 4M 128k")
        self.vm.io(self.disk.name, "write -P 18 40M 64k")
        self.vm.io(self.disk.name, "write -z 8M 64k")
        self.forget_writes()
        self.vm.io(self.disk.name, "write -P 19 20M 64k")
        report = self.verify(expect=4).json
        self.assertEqual([(item["offset"], item["length"]) for item in report["damage"]],
                         [(4 * MIB, 2 * CHUNK), (8 * MIB, CHUNK), (40 * MIB, CHUNK)])
        self.assertEqual({item["disk"] for item in report["damage"]}, {self.disk.name})
        self.assertEqual(report["written_since"], CHUNK)
        self.assert_nothing_left(self.vm)

    def test_an_older_point_says_that_it_cannot_tell(self):
        self.vm.io(self.disk.name, "write -P 18 4M 128k")
        newer, _ = self.back_up()
        report = self.verify(expect=4).json
        self.assertEqual([(item["offset"], item["length"]) for item in report["damage"]],
                         [(4 * MIB, 2 * CHUNK)])
        self.assertIn("may have been written", report["damage"][0]["text"])
        self.assertNotEqual(report["note"], "")
        self.assertTrue(self.verify(newer["point"]).json["ok"])

    def test_refusals(self):
        self.assertEqual(self.verify(None, "--disk", "vdz", expect=2).error, "point.no_such_disk")
        other = self.start(fault_case.make_disk(self.place, f"o{fault_case.Faults.number}", 64),
                           name=f"other{fault_case.Faults.number}")
        answer = self.stillpoint.run("verify", self.first["point"], "--against", "live", "--qmp",
                                     other.qmp_socket, expect=2)
        self.assertEqual(answer.error, "verify.other_vm")

    def test_cancel(self):
        for delay in (0.05, 0.2, 0.4):
            process = self.stillpoint.start("verify", self.first["point"], "--against", "live",
                                            "--qmp", self.vm.qmp_socket, log="cancelled.log")
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
            self.assertIn(process.wait(15), (0, 130, -signal.SIGTERM))
            self.assert_nothing_left(self.vm, seconds=5)

    def test_killed(self):
        process = self.stillpoint.start("verify", self.first["point"], "--against", "live",
                                        "--qmp", self.vm.qmp_socket, log="killed.log")
        deadline = lab.Deadline(30)
        while not self.vm.leftovers()[0] and process.poll() is None:
            self.assertFalse(deadline.passed())
        process.kill()
        process.wait()
        self.assert_nothing_left(self.vm)
        self.assertTrue(self.verify().json["ok"])


if __name__ == "__main__":
    fault_case.main()
