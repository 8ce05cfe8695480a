#!/usr/bin/env python3
"""The extension in a real guest, over a real virtio-serial port, on a processor without extras:
the freeze is proven from outside, every process of it is killed in the window, and the port's
traps (no host, a host that vanishes, garbage) are walked into."""
import json
import pathlib
import re
import statistics
import subprocess
import unittest

import images
import lab
import machine
import writing_guest

FAT_MIB = 32
CYCLES = 20
# The deadline of a test's freeze, and what I4 allows beyond it.
BUDGET_S, SLACK_S = 5, 1


def make_fat(place):
    path = place.vm_folder("disks") / "vdc.raw"
    images.must("truncate", "-s", f"{FAT_MIB}M", path)
    images.must("mkfs.vfat", path)
    lab.qemu_owns(path)
    return machine.Disk("vdc", path, "raw")


def talk(vm, *steps, check=True):
    """Speaks with the extension. @return [(round trip in ms, message)]"""
    done = subprocess.run([lab.build_folder() / "tests/vm/guest_talk", vm.guest_socket, *steps],
                          capture_output=True, text=True, timeout=90, check=False)
    lines = done.stdout.splitlines()
    if check and done.returncode != 0:
        raise RuntimeError(f"guest_talk {steps}: {done.stdout}{done.stderr}"
                           + vm.run("cat /run/stillpoint-guest.log"))
    answers = []
    for line in lines:
        ms, _, text = line.partition(" ")
        answers.append((ms, text) if ms == "error" else (float(ms), json.loads(text)))
    return answers


def bodies(answers):
    return {message["kind"]: message["body"] for _, message in answers}


class TheExtension(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        cls.disks = [*writing_guest.make_disks(cls.place, image_format="raw"),
                     make_fat(cls.place)]
        cls.vm = writing_guest.start(
            cls.place, cls.disks, extra=["-cpu", "qemu64"],
            main="mount -t vfat /dev/vdc /mnt/c\n" + writing_guest.EXTENSION)
        cls.addClassCleanup(lambda: print(cls.vm.run("cat /run/stillpoint-guest.log"))
                            if cls.vm.process.poll() is None else None)

    def writable_within(self, seconds):
        """Every filesystem takes a write before `seconds` have passed."""
        self.vm.run("touch /mnt/a/w /mnt/b/w /mnt/c/w", seconds=seconds + SLACK_S)

    def test_the_processor_is_a_plain_one(self):
        self.assertIn("QEMU Virtual CPU", self.vm.run("cat /proc/cpuinfo"))

    def test_a_session_holds_and_says_so(self):
        said = bodies(talk(self.vm, "prepare", "freeze", "ping", "thaw", "finish"))
        self.assertEqual(said["Welcome"]["os"], "linux")
        self.assertEqual({v["name"]: v["freezable"] for v in said["Welcome"]["volumes"]},
                         {"/mnt/a": True, "/mnt/b": True, "/mnt/c": False})
        thawed = said["Thawed"]
        self.assertTrue(thawed["held"])
        evidence = {e["name"]: e for e in thawed["evidence"]}
        self.assertTrue(evidence["/mnt/a"]["quiesced"] and evidence["/mnt/b"]["quiesced"])
        # vfat cannot freeze, but nobody wrote to it meanwhile.
        self.assertEqual(evidence["/mnt/c"]["note"], "unwritten")
        self.assertTrue(evidence["/mnt/c"]["quiesced"])
        self.writable_within(BUDGET_S)

    def test_a_written_vfat_is_not_called_unwritten(self):
        process = subprocess.Popen([lab.build_folder() / "tests/vm/guest_talk",
                                    self.vm.guest_socket, "prepare", "freeze:5000", "hold:2500",
                                    "thaw", "finish"], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(3)]
        self.assertIn("Frozen", lines[2])
        self.vm.run("echo new >/mnt/c/written && sync -f /mnt/c/written || sync")
        out, _ = process.communicate(timeout=60)
        thawed = bodies([(0, json.loads(line.partition(" ")[2]))
                         for line in out.splitlines()])["Thawed"]
        fat = next(e for e in thawed["evidence"] if e["name"] == "/mnt/c")
        self.assertFalse(fat["quiesced"])
        self.assertTrue(thawed["held"])

    def test_the_freeze_is_real(self):
        """A raw read of the disk in the window needs no journal replay; one outside does."""
        copy = self.place.vm_folder("copies") / "vda.raw"
        self.vm.run("touch /mnt/a/dirty")
        images.must("cp", self.disks[0].path, copy)
        self.assertTrue(images.needs_recovery(copy))
        process = subprocess.Popen([lab.build_folder() / "tests/vm/guest_talk",
                                    self.vm.guest_socket, "prepare", "freeze", "hold:1500",
                                    "thaw", "finish"], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(3)]
        self.assertIn("Frozen", lines[2])
        images.must("cp", self.disks[0].path, copy)
        out, _ = process.communicate(timeout=60)
        self.assertIn('"held":true', out)
        self.assertFalse(images.needs_recovery(copy))

    def test_a_vanished_host_and_garbage(self):
        talk(self.vm, "prepare", "freeze", "hang-up")
        self.writable_within(SLACK_S + BUDGET_S)
        with machine.connect(self.vm.guest_socket) as port:
            port.socket.sendall(b"SPF1 this is no frame " * 5000)
        said = bodies(talk(self.vm, "prepare", "freeze", "thaw", "finish"))
        self.assertTrue(said["Thawed"]["held"])

    def test_the_deadline_thaws_and_the_claim_is_withdrawn(self):
        said = bodies(talk(self.vm, "prepare", "freeze:300", "hold:800", "thaw", "finish"))
        self.assertFalse(said["Thawed"]["held"])
        self.writable_within(SLACK_S)

    def test_kill_any_process_in_the_window(self):
        for name in ("sp-freezer", "sp-watchdog", "sp-rescuer", "stillpoint-gues"):
            with self.subTest(name=name):
                process = subprocess.Popen(
                    [lab.build_folder() / "tests/vm/guest_talk", self.vm.guest_socket, "prepare",
                     "freeze", "hold:1500", "thaw"], stdout=subprocess.PIPE, text=True)
                lines = [process.stdout.readline() for _ in range(3)]
                self.assertIn("Frozen", lines[2])
                self.vm.run(f"kill -9 $(pidof {name} | tr ' ' '\\n' | head -n 1) "
                            f"|| kill -9 $(ps | awk '/{name}/ && !/awk/ {{print $1; exit}}')")
                self.writable_within(BUDGET_S)
                process.kill()
                process.communicate()
                self.vm.run("pidof stillpoint-guest || {" + writing_guest.EXTENSION + "}")
        self.assertTrue(bodies(talk(self.vm, "prepare", "freeze", "thaw"))["Thawed"]["held"])

    def test_figures(self):
        """Prints how long the guest was frozen and how that divides."""
        rows = []
        for _ in range(CYCLES):
            answers = talk(self.vm, "prepare", "freeze", "thaw", "finish")
            said = bodies(answers)
            trips = {message["kind"]: ms for ms, message in answers}
            frozen, thawed = said["Frozen"], said["Thawed"]
            self.assertTrue(thawed["held"])
            calls = max(e["duration_ns"] for e in frozen["evidence"]) / 1e6
            span = (frozen["frozen_ns"] - frozen["first_freeze_ns"]) / 1e6
            thaw = (thawed["thawed_ns"] - thawed["thaw_ns"]) / 1e6
            rows.append({"frozen": (thawed["thawed_ns"] - frozen["first_freeze_ns"]) / 1e6,
                         "fifreeze": calls, "freeze_overhead": span - calls, "thaw": thaw,
                         "wait_for_host": (thawed["thaw_ns"] - frozen["frozen_ns"]) / 1e6,
                         "prepare_trip": trips["Prepared"], "freeze_trip": trips["Frozen"],
                         "thaw_trip": trips["Thawed"], "welcome_trip": trips["Welcome"]})
        log = self.vm.run("grep own_ms /run/stillpoint-guest.log")
        own = [float(text) for text in re.findall(r"own_ms=([0-9.]+)", log)][-CYCLES:]
        # Some tenths of a millisecond alone; a busy machine schedules late.
        self.assertLess(statistics.median(own), 10)
        for row, value in zip(rows, own):
            row["own"] = value
        for name in rows[0]:
            values = [row[name] for row in rows]
            print(f"figure {name}_ms median={statistics.median(values):.2f} "
                  f"max={max(values):.2f}", flush=True)
        (pathlib.Path(lab.build_folder()) / "tests/vm/guest_figures.json").write_text(
            json.dumps(rows))


if __name__ == "__main__":
    lab.enter()
    unittest.main(verbosity=2)
