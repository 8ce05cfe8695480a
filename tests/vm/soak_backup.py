"""One backup of the soak, with what happens to it, and the proofs after it."""
import json
import os
import re
import select
import shutil
import signal
import subprocess

import lab
import product

CLEAN_SECONDS = 10  # the promise after any kill -9
# A backup that is held still for longer than this is ended by its keeper after three seconds.
HELD_SECONDS = 1.5


class Attempt:
    """`stillpoint backup` as a process of the test's, to be disturbed in any way."""

    def __init__(self, world, vault, extra=()):
        self.world, self.vault = world, vault
        world.prove_model()
        self.full = "--full" in extra
        self.pictures = world.pictures()
        self.tracked = dict(world.points[vault].tracked)  # a kill of QEMU takes it from the next
        self.was_paused = world.machine.paused()
        self.before = world.machine.traces()
        command = [*world.stillpoint.command, "backup", *world.machine.access, "--vault",
                   world.url(vault), *extra]
        self.log = world.place.folder / "backup.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=world.stillpoint.environment)
        world.place.children.append(self.process)
        self.held_too_long = False
        self.service_killed = False

    def running(self):
        return self.process.poll() is None

    def wait(self, seconds=product.BACKUP_SECONDS):
        self.process.wait(seconds)
        self.world.place.children.remove(self.process)
        return self.process.returncode

    def outlives(self, seconds):
        """@return whether it still runs then"""
        try:
            self.process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            return True

    def reaches_transfer(self):
        """Waits until exports are there, which come after the snapshot's instant.
        @return False when the backup ended before"""
        deadline = lab.Deadline(product.BACKUP_SECONDS)
        while self.running() and not deadline.passed():
            if self.world.machine.exports():
                return True
            select.select([], [], [], 0.005)
        return False

    def held(self, action):
        """Does something while the process stands still."""
        deadline = lab.Deadline(HELD_SECONDS)
        self.process.send_signal(signal.SIGSTOP)
        try:
            action(deadline)
        finally:
            self.process.send_signal(signal.SIGCONT)
        self.held_too_long = deadline.passed()

    def text(self):
        return self.log.read_text(errors="replace")


class Vaults:
    """The points of each vault: listed, bound to pictures, restored, compared."""

    def __init__(self, world):
        self.world = world
        self.restored = 0
        self.mismatches = 0

    def listed(self, vault):
        world = self.world
        answer = world.stillpoint.run("points", "--vault", world.url(vault))
        return {item["point"]: item for item in answer.json["points"]}

    def bind(self, attempt):
        """Finds what an attempt has published. @return the point's document or None"""
        points = self.world.points[attempt.vault]
        listed = self.listed(attempt.vault)
        lost = set(points.expected) - set(listed)
        self.world.require(not lost, f"points vanished: {lost}")
        fresh = set(listed) - set(points.expected)
        self.world.require(len(fresh) <= 1, f"one backup, several points: {fresh}")
        if not fresh:
            return None
        document = listed[fresh.pop()]
        taken = {disk["name"] for disk in document["disks"]}
        self.world.require(taken == set(attempt.pictures),
                           f"disks {taken}, not {set(attempt.pictures)}")
        self.check_modes(attempt, document)
        # A killed QEMU takes its bitmaps along; what was backed up after that, as images, has some.
        killed = attempt.before is None
        points.add(document["point"], attempt.pictures, tracked=not killed,
                   full=attempt.full)
        for disk in self.world.disks:
            if disk.name in taken:
                disk.shrunk_for.discard(attempt.vault)
        return document

    def check_modes(self, attempt, document):
        """An increment exactly where its base is known to be whole."""
        killed = attempt.before is None  # before the snapshot or after it
        for disk in document["disks"]:
            base = attempt.tracked.get(disk["name"])
            either = base == "?" or (killed and base is not None)
            if either or disk["reason"].startswith("periodic compare"):
                continue
            wanted = base is not None and not attempt.full
            self.world.require(
                (disk["mode"] == "increment") == wanted,
                f"{disk['name']}: {disk['mode']} ({disk['reason']}), base {base}, in\n"
                + json.dumps(document, indent=1))

    def restore(self, vault, point):
        """Restores a point and compares every byte with the model."""
        world = self.world
        folder = world.place.folder / "restored"
        images = world.stillpoint.restore(point, folder, "--vault", world.url(vault))
        wanted = world.points[vault].expected[point]
        world.require(set(images) == set(wanted), f"restored {set(images)}, not {set(wanted)}")
        for name, path in sorted(images.items()):
            self.compare(vault, point, name, path)
            path.unlink()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        self.restored += 1

    def compare(self, vault, point, name, path):
        expected = self.world.points[vault].expected
        history = {other: pictures[name] for other, pictures in expected.items()
                   if name in pictures}
        wrong = self.world.model.differences(
            expected[point][name], self.world.model.picture_of(path), history)
        if wrong:
            self.mismatches += 1
            document = json.dumps(self.listed(vault)[point], indent=1)
            self.world.fail(f"point {point} of vault {vault}, disk {name}: {wrong}\n{document}")

    def check(self, vault):
        world = self.world
        checked = world.stillpoint.run("vault", "check", world.url(vault), "--read-data")
        world.require(checked.json["ok"], str(checked))

    def forget(self, vault, point):
        world = self.world
        world.stillpoint.run("forget", point, "--vault", world.url(vault))
        world.points[vault].forget(point)


def short(point):
    """Enough of an id to tell the points of one soak apart."""
    return point[6:12]


def keepers():
    """Processes that guard backups, in this lab's own process namespace."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii") as file:
                name, _, state = file.read().partition(") ")
            if "(stillpoint-keep" in name and state[0] != "Z":
                found.append(f"keeper {entry}")
        except OSError:
            continue  # it has ended meanwhile
    return found


def leftovers(world, clean):
    """@param clean the traces of before the backup; None when QEMU was killed"""
    found = keepers() + world.stillpoint.job_files()
    if clean is not None:
        found += sorted(set(world.machine.traces()) ^ set(clean))
    return found


def lost_nodes(world, clean):
    """Nodes of a job's scratch that libvirt 9.0, killed while it ended the job, does not know any
    more (ADR 9): only QEMU's end removes them.
    @return a sentence; empty: nothing is left, or something else is"""
    deadline = lab.Deadline(CLEAN_SECONDS)
    while left := leftovers(world, clean):
        if deadline.passed():
            others = [name for name in left
                      if not re.fullmatch(r"libvirt-\d+-(storage|format)", name)]
            return "" if others else f"libvirt left nodes: {', '.join(left)}"
        select.select([], [], [], 0.05)
    return ""


def await_keepers(world):
    """Waits until all have ended, and removes what they may have left for people to read."""
    deadline = lab.Deadline(2 * CLEAN_SECONDS)
    while left := keepers():
        world.require(not deadline.passed(), f"still there: {left}")
        select.select([], [], [], 0.05)
    shutil.rmtree(world.stillpoint.jobs, ignore_errors=True)


def prove_clean(world, clean):
    """No job, export, node, socket, scratch file or keeper is left in ten seconds: from the end of
    the backup, or from libvirtd's return when that was later."""
    deadline = lab.Deadline(CLEAN_SECONDS)
    while left := leftovers(world, clean):
        world.require(not deadline.passed(), f"left after {CLEAN_SECONDS} s: {left}")
        select.select([], [], [], 0.05)
    world.slowest_clean_up = max(world.slowest_clean_up, CLEAN_SECONDS - deadline.left())
