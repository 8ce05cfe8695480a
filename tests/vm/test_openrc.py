#!/usr/bin/env python3
"""The extension as a service of OpenRC, as the distribution ships that: its openrc-run reads our
script, its supervise-daemon keeps the agent alive."""
import unittest

import images
import lab
import machine
import packaged_disk
import service_case
import writing_guest
from test_guest import bodies, talk

PROGRAMS = packaged_disk.PackagedDisk(
    "openrc", ("openrc",),
    ("debconf", "dpkg", "perl-base", "systemd", "init-system-helpers", "libpam-runtime"), 192,
    (("root", 0),), ("mnt/a",))
SCRIPT = "/etc/init.d/stillpoint-guest"
BOOT = f"""
export PATH=$PATH:/usr/bin:/usr/sbin
mkdir -p /os
mount -t ext4 -o ro /dev/vdb /os
mount -t proc proc /os/proc
mount -t sysfs sysfs /os/sys
mount -t tmpfs tmpfs /os/run
mount -t tmpfs tmpfs /os/tmp
mount -t tmpfs tmpfs /os/var/lib/stillpoint
mount -t devtmpfs devtmpfs /os/dev
mount -o bind /lab /os/lab
cp -r /os/etc/init.d /os/tmp/init.d
mount -t tmpfs tmpfs /os/etc/init.d
cp /os/tmp/init.d/* /os/etc/init.d
cp /lab/openrc-script /os{SCRIPT} && chmod 755 /os{SCRIPT}
mount -t ext4 /dev/vda /os/mnt/a
mount -t tmpfs tmpfs /os/etc/runlevels
mkdir /os/etc/runlevels/sysinit /os/etc/runlevels/boot /os/etc/runlevels/default
chroot /os rc-update add stillpoint-guest default
chroot /os openrc sysinit && chroot /os openrc default
"""


def packaged_script():
    """As meson installs it, for a daemon in /lab/bin"""
    text = (lab.ROOT / "packaging/openrc/stillpoint-guest.in").read_text()
    return text.replace("@sbindir@", "/lab/bin").encode()


class OpenRc(service_case.ServiceCase, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        disk = images.make(cls.place.vm_folder("disks") / "vda.raw", 64, "ext4",
                           image_format="raw")
        cls.vm = machine.Machine(
            cls.place, "guest", [machine.Disk("vda", disk, "raw")],
            extra=PROGRAMS.arguments(cls.place),
            files={"lab/openrc-script": packaged_script(), **writing_guest.programs(cls.place)},
            main=BOOT)
        cls.vm.wait_ready()

    def service(self, verb, expect=0):
        status, text = self.vm.run(f"exec chroot /os rc-service stillpoint-guest {verb}",
                                   check=False)
        self.assertEqual(status, expect, text)
        return text

    def test_service(self):
        self.assertIn("started", self.service("status"))  # by the runlevel
        first = self.pid()
        self.check_still_point()
        self.service("reload")
        self.check_still_point()
        self.assertEqual(self.pid(), first)
        self.assertIn("read the configuration anew", self.vm.run("dmesg"))
        # The supervisor brings back what was killed.
        self.vm.run(f"kill -9 {first}; until pidof stillpoint-guest; do sleep 0.1; done")
        self.assertNotEqual(self.pid(), first)
        self.check_still_point()
        self.service("restart")
        self.check_still_point()
        # A stop in the window thaws first.
        self.assertIn("Frozen", bodies(talk(self.vm, "prepare", "freeze", "hang-up")))
        self.service("stop")
        self.vm.run("touch /os/mnt/a/writable && ! pidof stillpoint-guest")
        self.service("status", 3)


if __name__ == "__main__":
    PROGRAMS.enter()
    unittest.main(verbosity=2)
