"""What tests of whole backups of a Windows guest share: the program under Wine, the host's real
plugin, a real QEMU disk; VSS is played by a double.
"""
import re
import unittest

import windows_guest
from windows_guest import WindowsGuest, lab

import images
import machine
import plain_qemu
import product


class WindowsCase(unittest.TestCase):
    def setUp(self):
        windows_guest.install_double()
        self.place = lab.Lab()
        self.place.__enter__()
        self.addCleanup(self.place.__exit__)
        self.relay = windows_guest.Relay(self.place)
        folder = self.place.vm_folder("images")
        disk = folder / "disk.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", disk, "16M")
        lab.qemu_owns(disk)
        self.vm = plain_qemu.PlainQemu(self.place, "windows", [machine.Disk("vda", disk)])
        self.vm.guest_port, self.vm.guest_socket = True, self.relay.path
        self.vm.io("vda", "write -P 1 1M 1M")
        self.vm.qmp("cont")  # nobody asks a guest that does not run
        self.use_host()

    def use_host(self, *, freeze_seconds=product.FREEZE_BUDGET_SECONDS, retries=None,
                 **options):
        """Configures the host anew; a vault that is there stays.
        @param freeze_seconds what the host allows; the guest allows 7.5 s at most
        @param retries of a backup that is less than required; None: host.xml does not say"""
        self.host = product.Stillpoint(self.place, greet_seconds=30, **options)
        config = self.host.folder / "host.xml"
        config.write_text(config.read_text().replace(
            f'freeze-budget="{product.FREEZE_BUDGET_SECONDS}s"',
            f'freeze-budget="{freeze_seconds}s"' +
            ("" if retries is None else f' retries="{retries}" retry-pause="1s"')))
        if not self.host.vault.exists():
            self.host.init()

    def access(self):
        return product.access_of(self.vm)

    def backup(self, *arguments, expect=(0, 3)):
        return self.host.backup(self.access(), *arguments, expect=expect)

    def start(self, script="", **options):
        guest = WindowsGuest(self.place, script, **options)
        self.addCleanup(guest.end)
        return guest

    def assert_level(self, level, point, guest):
        self.assertEqual(point["level"], level,
                         f"{point}\n{guest.log()}\n" + "\n".join(guest.calls()))

    def writers_of(self, point):
        return {e["name"]: e for e in point["evidence"] if e["kind"] == "writer"}

    def warnings_of(self, point):
        return " ".join(f"{w['code']}: {w['text']}" for w in point["warnings"])

    def holds(self, guest):
        """@return [(how the provider ended its hold, after how many ms)]"""
        found = (re.search(r"^CommitSnapshots (\w+) held_ms=(\d+)", call) for call in guest.calls())
        return [(hold[1], int(hold[2])) for hold in found if hold]


def main():
    windows_guest.make_ready()
    lab.enter()
    unittest.main(verbosity=2)
