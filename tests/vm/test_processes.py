#!/usr/bin/env python3
"""Many processes on one vault at once: writers, a gc in a loop, restores and forgets; some are
killed at any moment, some stand still and wake after their lease. Nothing may ever be lost.

    test_processes.py CLOCK-LIBRARY      STILLPOINT_TEST_LENGTH=long takes ten minutes

The powered-off images of the writers are made of few different blocks, so that nearly everything
that one forgets another one stores again: what a gc deletes is always about to be needed.
"""
import hashlib
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest

import lab
import product

WRITERS = 4
BLOCK = 64 << 10
BLOCKS = 48
POOL = 6 * BLOCKS
SECONDS = 600 if lab.length() == "long" else 22
JUMP_NS = 61 * 60 * 10**9  # past a lease and the half hour that clocks may differ by
JUMPS_MAX = 20  # files in tmp/ that are a day old are taken for rubbish
# What may happen to a backup whose lease is taken away, and to what meets a killed one's remains.
LOST_LEASE = {"vault.lease_lapsed", "vault.run_fenced"}
IN_THE_WAY = {"backup.running", "image.locked", "image.in_use"}


class Clock:
    """The wall clock of some processes, moved by the test."""

    def __init__(self, path):
        self.path, self.added = path, 0
        self.set(0)

    def set(self, nanoseconds):
        self.added = nanoseconds
        with open(self.path, "r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("<q", nanoseconds))


class World:
    """What all threads share."""

    def __init__(self, place, seed):
        self.place = place
        self.random = random.Random(seed)
        self.pool = [self.random.randbytes(BLOCK) for _ in range(POOL)]
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.gc_ended = threading.Condition(self.lock)
        self.clock = Clock(place.folder / "clock")
        self.made = {}       # point: SHA-256 of what it was made of
        self.tried = {}      # label: all contents that a backup of it was started with
        self.pinned = set()  # points that are being restored: nobody forgets them now
        self.failures = []
        self.count = dict.fromkeys(
            ("backups", "restores", "forgets", "gcs", "gc_refused", "killed_writers", "killed_gcs",
             "stopped", "jumps", "lapsed", "fenced", "in_the_way", "freed_bytes", "freed_packs",
             "rescued_packs", "waited"), 0)

    def add(self, what, amount=1):
        with self.lock:
            self.count[what] += amount

    def fail(self, text):
        with self.lock:
            self.failures.append(str(text))
        self.stop.set()

    def dice(self):
        with self.lock:
            return random.Random(self.random.getrandbits(64))


class Actor(threading.Thread):
    """A loop that runs commands; an exception in it fails the test."""

    def __init__(self, world, name, clock=None):
        super().__init__(name=name, daemon=True)
        self.world, self.clock = world, clock or world.clock
        self.dice = world.dice()
        self.process = None
        self.stillpoint = product.Stillpoint(world.place, environment={
            "LD_PRELOAD": CLOCK_LIBRARY, "STILLPOINT_TEST_CLOCK": str(self.clock.path)})

    def run(self):
        while not self.world.stop.is_set():
            try:
                self.turn()
            except Exception as error:  # pylint: disable=broad-except
                self.world.fail(f"{self.name}: {error!r}")

    def command(self, *arguments):
        """Runs a command that others may stop and kill. @return an Answer; status -9: killed"""
        words = [*self.stillpoint.command, *map(str, arguments)]
        process = subprocess.Popen(words, env=self.stillpoint.environment, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
        with self.world.lock:
            self.process = process
        out, err = process.communicate()
        with self.world.lock:
            self.process = None
        return product.Answer(words, subprocess.CompletedProcess(words, process.returncode, out,
                                                                 err))

    def signal(self, number):
        """@return whether a command was running, which got the signal with all its processes"""
        with self.world.lock:
            if self.process is None or self.process.poll() is not None:
                return False
            os.killpg(self.process.pid, number)
            return True


class Writer(Actor):
    """Backs up a disk that changes between backups, and forgets earlier points."""

    def __init__(self, world, number):
        super().__init__(world, f"vm{number}", Clock(world.place.folder / f"clock{number}"))
        folder = world.place.vm_folder("images")
        self.disk = folder / f"{self.name}.raw"
        self.disk.write_bytes(bytes(BLOCKS * BLOCK))
        lab.qemu_owns(self.disk)
        world.tried[self.name] = set()
        self.mine = []

    def turn(self):
        self.change()
        content = hashlib.sha256(self.disk.read_bytes()).hexdigest()
        with self.world.lock:
            self.world.tried[self.name].add(content)
        full = ["--full"] if self.dice.random() < 0.3 else []
        answer = self.command("backup", self.name, "--image", f"vda=raw:{self.disk}", *full)
        if answer.status in (0, 3):
            with self.world.lock:
                self.world.made[answer.json["point"]] = content
                self.world.count["backups"] += 1
            self.mine.append(answer.json["point"])
        elif answer.error in LOST_LEASE:
            self.world.add("lapsed" if answer.error == "vault.lease_lapsed" else "fenced")
        elif answer.error in IN_THE_WAY:
            self.world.add("in_the_way")
            self.world.stop.wait(0.2)
        elif answer.status not in (-signal.SIGKILL, 128 + signal.SIGKILL):
            raise AssertionError(answer)
        while len(self.mine) > 1 or (self.mine and self.dice.random() < 0.3):
            self.forget(self.mine.pop(self.dice.randrange(len(self.mine))))

    def change(self):
        with open(self.disk, "r+b") as file:
            for _ in range(self.dice.randrange(1, BLOCKS // 2)):
                file.seek(self.dice.randrange(BLOCKS) * BLOCK)
                file.write(self.dice.choice(self.world.pool))

    def forget(self, point):
        with self.world.lock:
            if point in self.world.pinned:
                self.mine.append(point)
                return
            content = self.world.made.pop(point)
        answer = self.command("forget", point)
        if answer.status == 0:
            self.world.add("forgets")
            return
        # Killed: it may be forgotten, or not yet; either is right, half is not.
        if answer.status not in (-signal.SIGKILL, 128 + signal.SIGKILL):
            raise AssertionError(answer)
        self.world.tried[self.name].add(content)


class Collector(Actor):
    def turn(self):
        answer = self.command("vault", "gc")
        world = self.world
        with world.gc_ended:
            if answer.status == 0:
                world.count["gcs"] += 1
                for name in ("freed_bytes", "freed_packs", "rescued_packs"):
                    world.count[name] += answer.json[name]
                world.count["waited"] += answer.json["waiting_bytes"] > 0
                world.gc_ended.notify_all()
            elif answer.error == "gc.running":  # a killed one, until the next jump
                world.count["gc_refused"] += 1
            elif answer.error == "vault.lease_lapsed":
                world.count["lapsed"] += 1
            elif answer.status not in (-signal.SIGKILL, 128 + signal.SIGKILL):
                raise AssertionError(answer)
        world.stop.wait(0.1)


class Restorer(Actor):
    def turn(self):
        with self.world.lock:
            points = sorted(self.world.made)
            point = self.dice.choice(points) if points else None
            self.world.pinned = {point}
            content = self.world.made.get(point)
        if point is None:
            self.world.stop.wait(0.2)
            return
        folder = self.world.place.folder / "restored"
        answer = self.command("restore", point, "--to", folder, "--format", "raw")
        if answer.status != 0:
            raise AssertionError(answer)
        if hashlib.sha256((folder / "vda.raw").read_bytes()).hexdigest() != content:
            raise AssertionError(f"point {point} is not what it was made of")
        shutil.rmtree(folder)
        self.world.add("restores")
        self.world.stop.wait(0.5)


class Trouble(Actor):
    """Kills writers and gcs; stops one, lets an hour pass and a gc end, and wakes it."""

    def __init__(self, world, writers, collector):
        super().__init__(world, "trouble")
        self.writers, self.collector = writers, collector

    def turn(self):
        self.world.stop.wait(self.dice.uniform(0.1, 1.5))
        kind = self.dice.random()
        if kind < 0.45:
            if self.dice.choice(self.writers).signal(signal.SIGKILL):
                self.world.add("killed_writers")
        elif kind < 0.6:
            if self.collector.signal(signal.SIGKILL):
                self.world.add("killed_gcs")
        elif self.world.count["jumps"] < JUMPS_MAX:
            self.jump()

    def jump(self):
        victim = self.dice.choice([*self.writers, *self.writers, self.collector])
        stopped = victim.signal(signal.SIGSTOP)
        # Its own clock may have stood still with it: then only the fence is in its way.
        blind = stopped and victim is not self.collector and self.dice.random() < 0.5
        with self.world.lock:
            now = self.world.clock.added + JUMP_NS
            for actor in (self.collector, *self.writers):
                if not (blind and actor is victim):
                    actor.clock.set(now)
            self.world.count["jumps"] += 1
            self.world.count["stopped"] += stopped
        if not stopped:
            return
        if victim is not self.collector:
            self.wait_for_gcs(2)
        victim.signal(signal.SIGCONT)
        if blind:
            deadline = lab.Deadline(30)
            process = victim.process
            while process is not None and process.poll() is None and not deadline.passed():
                self.world.stop.wait(0.05)
                if self.world.stop.is_set():
                    break
            victim.clock.set(now)

    def wait_for_gcs(self, more):
        with self.world.gc_ended:
            wanted = self.world.count["gcs"] + more
            self.world.gc_ended.wait_for(
                lambda: self.world.count["gcs"] >= wanted or self.world.stop.is_set(), timeout=30)


class Processes(unittest.TestCase):
    def test_nothing_is_lost(self):
        place = self.enterContext(lab.Lab())
        seed = int(os.environ.get("STILLPOINT_TEST_SEED", time.time_ns() & 0xffffffff))
        print(f"STILLPOINT_TEST_SEED={seed}", flush=True)
        world = World(place, seed)
        Actor(world, "init").stillpoint.init()
        writers = [Writer(world, number) for number in range(WRITERS)]
        collector = Collector(world, "gc")
        actors = [*writers, collector, Restorer(world, "restore")]
        trouble = Trouble(world, writers, collector)
        for actor in (*actors, trouble):
            actor.start()
        world.stop.wait(SECONDS)
        world.stop.set()
        trouble.join(60)
        for actor in actors:
            actor.signal(signal.SIGCONT)
            actor.join(120)
            self.assertFalse(actor.is_alive(), actor.name)
        print(f"in {SECONDS} s: {world.count}", flush=True)
        self.assertEqual(world.failures, [])
        self.judge(world, collector)

    def judge(self, world, collector):
        """Everything sound, no point missing, and each what its disk was."""
        world.clock.set(world.clock.added + JUMP_NS)
        for _ in range(2):
            self.assertEqual(collector.command("vault", "gc").status, 0)
        checked = collector.command("vault", "check", "--read-data")
        self.assertEqual((checked.status, checked.json.get("damage")), (0, []), checked)
        listed = collector.command("points").json["points"]
        missing = set(world.made) - {point["point"] for point in listed}
        self.assertEqual(missing, set(), "published, not forgotten, and gone")
        for point in listed:
            folder = world.place.folder / "last"
            answer = collector.command("restore", point["point"], "--to", folder, "--format", "raw")
            self.assertEqual(answer.status, 0, answer)
            content = hashlib.sha256((folder / "vda.raw").read_bytes()).hexdigest()
            # Of a killed backup nobody told which of its tries came through.
            wanted = {world.made[point["point"]]} if point["point"] in world.made \
                else world.tried[point["vm"]]
            self.assertIn(content, wanted, point["point"])
            shutil.rmtree(folder)
        stats = collector.command("vault", "stats").json
        print(f"at the end: {len(listed)} points, mismatches 0, {stats}", flush=True)
        for what in ("backups", "gcs", "forgets", "restores", "jumps"):
            self.assertGreater(world.count[what], 0, what)


if __name__ == "__main__":
    CLOCK_LIBRARY = str(pathlib.Path(sys.argv.pop(1)).resolve())
    sys.argv.insert(1, CLOCK_LIBRARY)  # for the same program, run again inside
    lab.enter()
    sys.argv.pop(1)
    unittest.main(verbosity=2)
