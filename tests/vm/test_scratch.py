#!/usr/bin/env python3
"""A guest that writes at full speed into a snapshot whose scratch is tiny, or slow: it sees no
error, ever, and does not wait for long. The backup is given up and says why; the next one, with
room, is right.

    test_scratch.py qmp|libvirt
"""
import re
import subprocess

import backup_case
import images
import lab
import machine
import product
import slow_disk

SCRATCH_MIB = 20
DISK_MIB = 192
SLOW_WRITE_MS, BEARABLE_MS = 40, 50  # of the slow scratch's disk; of the guest
RESUMED_MS = 2000  # the promise for a guest that was faster than its headroom
ROUNDS = {"fast": 1, "normal": 3, "long": 10}[lab.length()]
# Over the whole disk, again and again.
WRITER = """
while :; do
  dd if=/dev/zero of=/dev/vda bs={block_kib}k count={blocks} oflag=direct 2>/run/dd.last ||
    cat /run/dd.last >>/run/failed
  echo pass >>/run/passes
done >/dev/null 2>&1 &
echo $! >/run/writer
"""
STOP_WRITER = """
kill $(cat /run/writer)
while dd=$(pidof dd); do kill $dd; done
rm /run/writer
"""


class TinyScratch(backup_case.Backup):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        # Slow enough that the guest has all the time it needs to fill the scratch.
        cls.stillpoint = product.Stillpoint(cls.place, configuration="""
  <limits bandwidth="8MiB/s"/>""")
        cls.stillpoint.init()
        path = cls.place.vm_folder("images") / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, f"{DISK_MIB}M")
        lab.qemu_owns(path)
        cls.disks = [machine.Disk("vda", path)]
        cls.vm = backup_case.KIND(cls.place, "full", cls.disks, guest_port=False)
        cls.vm.wait_ready()
        cls.access = product.access_of(cls.vm)
        cls.restores = 0
        cls.small = cls.place.folder / "small"
        cls.small.mkdir()
        lab.mount("tmpfs", cls.small, f"mode=0755,size={SCRATCH_MIB}m")
        cls.place.closing.callback(subprocess.run, ["umount", "-l", cls.small], check=False)

    def passes(self):
        return int(self.vm.run("wc -l </run/passes"))

    def wait_pass(self, seconds=240):
        """Until the writer went over the whole disk once more."""
        before = self.passes()
        deadline = lab.Deadline(seconds)
        while self.passes() <= before:
            self.assertFalse(deadline.passed(), "the guest does not write")

    def start_writer(self, block_kib):
        self.vm.run("[ -e /run/passes ] || echo start >/run/passes")
        self.vm.run(WRITER.format(block_kib=block_kib, blocks=DISK_MIB * 1024 // block_kib))
        # One at a time: what one has overwritten costs the other nothing more.
        self.addCleanup(self.vm.run, STOP_WRITER)

    def assert_no_error(self):
        self.assertEqual(self.vm.run("cat /run/failed 2>/dev/null || true"), "")
        self.assertEqual(self.vm.run("dmesg | grep -i 'i/o error' || true"), "")
        self.assertEqual(self.vm.state(), "running")

    def given_up(self):
        """@return the error's text"""
        answer = self.stillpoint.run("backup", *self.access, "--full", "--scratch", self.small,
                                     expect=1)
        self.assertEqual(answer.error, "snapshot.broken", answer)
        self.assert_no_error()
        return answer.json["error"]["text"]

    def test_full_speed_writer(self):
        clean = self.traces()
        self.start_writer(1024)
        self.wait_pass()
        stood = []
        for _ in range(ROUNDS):
            text = self.given_up()
            self.assertEqual(self.traces(), clean)
            self.assertEqual(list(self.small.iterdir()), [])
            stood += map(int, re.findall(r"resumed after (\d+) ms", text))
            self.assertTrue("scratch" in text, text)
            self.wait_pass()
            self.assert_no_error()
        print(f"figure tiny_scratch rounds={ROUNDS} guest_stood_ms={stood}", flush=True)
        self.assertLess(max(stood, default=0), RESUMED_MS)
        if not backup_case.LIBVIRT:
            # Copy-before-write: not even for a moment. Our own stop and cont are no I/O error.
            self.assertEqual(stood, [])
            self.vm.qmp("query-status")
            self.assertNotIn("BLOCK_IO_ERROR", {event["event"] for event in self.vm.events})

    def test_slow_scratch(self):
        """Reading more slowly does not help a guest that waits for the copying itself."""
        if reason := slow_disk.usable():
            self.skipTest(reason)
        if backup_case.LIBVIRT and lab.length() == "fast":
            self.skipTest("half a minute, and the route's own part is the same as over QMP")
        config = self.stillpoint.folder / "host.xml"
        told = config.read_text()
        config.write_text(told.replace('8MiB/s"', f'8MiB/s" write-latency="{BEARABLE_MS}ms"'))
        # Data everywhere, so that the reading takes longer than the patience.
        self.vm.run(f"dd if=/dev/zero of=/dev/vda bs=1M count={DISK_MIB} oflag=direct 2>/dev/null")
        before = self.stillpoint.backup(self.access, "--bandwidth", "1GiB", expect=3)
        clean = self.traces()
        self.start_writer(64)
        slow = slow_disk.slow_folder(self.place, SLOW_WRITE_MS)
        answer = self.stillpoint.run("backup", *self.access, "--full", "--scratch", slow, expect=1)
        self.assertEqual(answer.error, "guest.writes_suffer", answer)
        self.assertIn("write-latency", answer.json["error"]["remedy"])
        self.assert_no_error()
        self.assertEqual(self.traces(), clean)
        config.write_text(told)
        after = self.stillpoint.backup(self.access, "--bandwidth", "1GiB", expect=3)
        self.assertEqual(after["parent"], before["point"])
        self.assertEqual(after["disks"][0]["mode"], "increment")


if __name__ == "__main__":
    backup_case.main()
