#!/usr/bin/env python3
"""The Windows extension as a service under Wine, and what it changes in Windows.

    test_service.py [Service]
"""
import json
import re
import shutil
import subprocess
import unittest

import windows_guest
from windows_guest import lab

import images
import machine
import plain_qemu
import product

SERVICES = r"HKLM\System\CurrentControlSet\Services"
CLASSES = r"HKLM\Software\Classes"
PROVIDER = "{c2b4e9a7-1d63-4f8b-a05e-74913bcf26d8}"
DOUBLE = "drive_c/vss-double"  # where the double looks when it has no environment of ours


def wine(*words, check=True):
    """Runs a Windows command. Its output ends with it: nothing of Wine's own holds the pipe."""
    done = subprocess.run([windows_guest.RUN, *map(str, words)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=windows_guest.environment(), timeout=50,
                          check=False, stdin=subprocess.DEVNULL, text=True, errors="replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}")
    return done


def registry(key, value):
    """@return the value as `reg query` prints it, or None"""
    done = wine("reg", "query", key, "/v", value, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    return next((line[1:] for line in lines if line[:1] == [value]), None)


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        windows_guest.install_double()
        cls.folder = windows_guest.prefix() / "drive_c/stillpoint guest"
        cls.folder.mkdir(exist_ok=True)
        shutil.copy(windows_guest.build_folder() / "guest-windows/stillpoint-guest.exe",
                    cls.folder)
        cls.program = r"C:\stillpoint guest\stillpoint-guest.exe"
        double = windows_guest.prefix() / DOUBLE
        shutil.rmtree(double, ignore_errors=True)
        double.mkdir()

    @classmethod
    def tearDownClass(cls):
        windows_guest.stop_wine()

    def setUp(self):
        self.place = lab.Lab()
        self.place.__enter__()
        self.addCleanup(self.place.__exit__)
        # Windows has it, Wine has not. Absent, or there from the test before.
        wine("sc", "create", "VSS", "binPath=", r"C:\windows\system32\vssvc.exe",
             "start=", "demand", check=False)

    def make_host(self):
        """A VM and a host for it. @return what backs it up, and the relay between them"""
        relay = windows_guest.Relay(self.place)
        disk = self.place.vm_folder("images") / "disk.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", disk, "16M")
        lab.qemu_owns(disk)
        vm = plain_qemu.PlainQemu(self.place, "windows", [machine.Disk("vda", disk)])
        vm.guest_port, vm.guest_socket = True, relay.path
        vm.qmp("cont")
        host = product.Stillpoint(self.place, greet_seconds=30)
        host.init()
        return lambda: host.backup(product.access_of(vm), expect=(0, 3)), relay

    def install_service(self):
        self.addCleanup(self.remove_service)
        self.remove_service()  # of a run that was cut
        wine(self.program, "--displayName=Stillpoint guest", "--startup=automatic",
             "--registerService")
        self.assertEqual(registry(SERVICES + r"\stillpoint-guest", "Start"), ["REG_DWORD", "0x2"])
        wine("net", "start", "stillpoint-guest")

    def stop_service(self):
        wine("net", "stop", "stillpoint-guest")
        deadline = lab.Deadline(20)  # `net stop` may return before the service has ended
        while "STOPPED" not in (state := wine("sc", "query", "stillpoint-guest").stdout):
            self.assertFalse(deadline.passed(), state)

    def test_a_backup_by_the_installed_service(self):
        backup, relay = self.make_host()
        self.install_service()
        point = backup()
        self.assertEqual(point["level"], "application", point)
        # At its start it put right what it needs of Windows.
        self.assertIsNotNone(registry(rf"{CLASSES}\AppID\{PROVIDER}", "LocalService"))

        # Stopped while writes are held: it lets go at once, and takes no success along.
        log = windows_guest.prefix() / DOUBLE / "log.txt"
        log.unlink()

        def stop(_):
            self.stop_service()
            relay.hung_up = True

        relay.at["Frozen"] = stop
        point = backup()
        self.assertEqual(point["level"], "crash", point)
        calls = log.read_text().splitlines()
        self.assertTrue(any(call.startswith("CommitSnapshots 0x00000000") for call in calls), calls)
        self.assertEqual(calls[-2:], ["AbortBackup", "Release"])
        wine("net", "start", "stillpoint-guest")
        point = backup()
        self.assertEqual(point["level"], "application", point)

        self.stop_service()
        wine(self.program, "--unregisterService")
        self.assertIsNone(registry(SERVICES + r"\stillpoint-guest", "Start"))

    def remove_service(self):
        wine("net", "stop", "stillpoint-guest", check=False)
        wine(self.program, "--unregisterService", check=False)

    def test_what_it_changes_is_taken_back(self):
        # Wine has no coordinator of VSS, so the last step fails, and says so.
        done = wine(self.program, "register-provider", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("0x80040154", done.stdout)
        self.assertEqual(registry(SERVICES + r"\VSS", "Start"), ["REG_DWORD", "0x2"])
        self.assertIsNotNone(registry(rf"{CLASSES}\CLSID\{PROVIDER}", "AppID"))
        self.assertIsNotNone(registry(rf"{CLASSES}\AppID\{PROVIDER}", "LaunchPermission"))
        events = SERVICES + r"\EventLog\Application\stillpoint-guest"
        self.assertIsNotNone(registry(events, "EventMessageFile"))
        wine(self.program, "unregister-provider", check=False)
        self.assertEqual(registry(SERVICES + r"\VSS", "Start"), ["REG_DWORD", "0x3"])
        self.assertIsNone(registry(rf"{CLASSES}\CLSID\{PROVIDER}", "AppID"))
        self.assertIsNone(registry(rf"{CLASSES}\AppID\{PROVIDER}", "LaunchPermission"))
        self.assertIsNone(registry(events, "EventMessageFile"))

    def test_the_doctor_in_a_console(self):
        done = wine(self.program, "doctor", "--json", check=False)
        self.assertEqual(done.returncode, 3, done.stdout)
        found = {f["id"]: f for f in json.JSONDecoder().raw_decode(
            done.stdout[done.stdout.index("{"):])[0]["findings"]}
        # Wine is a Windows without virtio drivers, COM+ or a coordinator of VSS.
        self.assertEqual(found["doctor.driver"]["severity"], "error")
        self.assertIn(found["doctor.provider"]["severity"], ("error", "warning"))
        self.assertEqual(found["doctor.writer"]["severity"], "ok")
        self.assertIn(found["doctor.vss"]["severity"], ("ok", "note"))
        self.assertIn("doctor.driver", wine(self.program, "doctor", check=False).stdout)

    def test_the_command_line(self):
        self.assertIn("stillpoint-guest ", wine(self.program, "--version").stdout)
        told = re.findall(r"--\w+|(?<!\S)-\w\b", wine(self.program, "--help").stdout)
        page = (lab.ROOT / "docs/man/stillpoint-guest-windows.8").read_text().replace("\\-", "-")
        options = page.split(".SH OPTIONS")[1].split(".SH FINDINGS")[0]
        self.assertEqual(set(told), set(re.findall(r"--\w+|(?<!\S)-\w\b", options)))
        words = re.search(r"\[(run[|\w-]+)\]", wine(self.program, "--help").stdout)[1]
        for word in words.split("|"):
            self.assertIn(f"\n.B {word}\n", page)
        self.assertEqual(wine(self.program, "--json", check=False).returncode, 2)
        self.assertEqual(wine(self.program, "frobnicate", check=False).returncode, 2)


if __name__ == "__main__":
    windows_guest.make_ready()
    lab.enter()
    unittest.main(verbosity=2)
