#!/usr/bin/env python3
"""How the extension is started where there is no systemd: by hand from an initramfs that has
neither /run nor /etc/stillpoint nor udev, and by the script of sysvinit."""
import unittest

import images
import lab
import machine
import service_case
import writing_guest
from test_guest import bodies, talk

DAEMON = "/lab/bin/stillpoint-guest"
SYSVINIT = "/etc/init.d/stillpoint-guest"


def packaged_script():
    """As meson installs it, for a daemon in /lab/bin"""
    text = (lab.ROOT / "packaging/sysvinit/stillpoint-guest.in").read_text()
    return text.replace("@sbindir@", "/lab/bin").encode()


def bare_init():
    """Process 1 of the tiny guest without a /run, and without the name that udev gives our port"""
    text = (lab.HERE / "guest/init.sh").read_text()
    text = text.replace("mount -t tmpfs tmpfs /run\n", "rm -r /run\n").replace("/run/", "/tmp/")
    return text.replace("\nname_ports\n", "\nname_ports\nrm /dev/virtio-ports/org.stillpoint.*\n"
                        ).encode()


class Services(service_case.ServiceCase, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        disk = images.make(cls.place.vm_folder("disks") / "vda.raw", 64, "ext4",
                           image_format="raw")
        cls.vm = machine.Machine(
            cls.place, "guest", [machine.Disk("vda", disk, "raw")],
            files={"init": bare_init(), SYSVINIT[1:]: packaged_script(),
                   **writing_guest.programs(cls.place)},
            main="mount -t ext4 /dev/vda /mnt/a\n")
        cls.vm.wait_ready()

    def tearDown(self):
        self.vm.run(f"[ ! -e {SYSVINIT} ] || {SYSVINIT} stop; kill $(pidof stillpoint-guest); "
                    "while pidof stillpoint-guest; do :; done; rm -rf /run", check=False)

    def test_from_an_initramfs(self):
        self.vm.run("! ls -d /run && ! ls -d /etc/stillpoint && ! ls /var")
        self.vm.run(f"{DAEMON} --log kmsg >/dev/null 2>&1 &")
        self.check_still_point()
        self.assertIn("stillpoint", self.vm.run("dmesg | grep -i 'thawed\\|started' | tail -n 5"))
        self.vm.run("! ls -d /etc/stillpoint")

    def test_sysvinit(self):
        def script(verb, expect=0):
            status, text = self.vm.run(f"{SYSVINIT} {verb}", check=False)
            self.assertEqual(status, expect, text)
            return text
        self.assertEqual(script("status", 3), "stillpoint-guest is not running\n")
        script("stop")  # which is nobody's error
        script("reload", 1)
        script("start")
        self.assertEqual(script("status"), "stillpoint-guest is running\n")
        first = self.pid()
        self.assertEqual(first, self.vm.run("cat /run/stillpoint-guest.pid").strip())
        script("start")
        self.assertEqual(self.pid(), first)  # once is enough
        self.check_still_point()
        script("reload")
        self.check_still_point()
        self.assertEqual(self.pid(), first)
        self.assertIn("read the configuration anew", self.vm.run("dmesg"))
        script("restart")
        self.assertNotEqual(self.pid(), first)
        self.check_still_point()
        script("stop")
        script("status", 3)
        self.vm.run("! pidof stillpoint-guest && ! ls /run/stillpoint-guest.pid")
        # A number that somebody else has now: neither taken for ours nor ended.
        self.vm.run("sleep 1000 >/dev/null 2>&1 & echo $! >/run/stillpoint-guest.pid")
        script("status", 3)
        script("stop")
        self.vm.run("pidof sleep && kill $(pidof sleep)")
        script("verb", 2)

    def test_sysvinit_says_that_it_did_not_start(self):
        self.vm.run("mkdir -p /etc/stillpoint; echo '<guest><no/></guest>' "
                    ">/etc/stillpoint/guest.xml")
        try:
            status, _ = self.vm.run(f"{SYSVINIT} start; while pidof stillpoint-guest; do :; done; "
                                    f"{SYSVINIT} status", check=False)
            self.assertEqual(status, 3)
            self.assertIn("unknown element <no>", self.vm.run("dmesg"))
        finally:
            self.vm.run("rm -r /etc/stillpoint")

    def test_sysvinit_stops_in_the_window(self):
        """A stop thaws first."""
        self.vm.run(f"{SYSVINIT} start")
        said = talk(self.vm, "prepare", "freeze", "hang-up")
        self.assertIn("Frozen", bodies(said))
        self.vm.run(f"{SYSVINIT} stop && touch /mnt/a/writable", seconds=30)


if __name__ == "__main__":
    lab.enter()
    unittest.main(verbosity=2)
