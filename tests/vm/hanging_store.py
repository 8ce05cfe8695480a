"""A folder for a vault whose storage can stop answering: whoever writes then waits in the kernel,
where no signal reaches it, as on an NFS server that is gone.

    store = hanging_store.HangingStore(place); store.hang(); …; store.answer()
"""
import os
import pathlib
import subprocess

import images
import lab

SIZE_MIB = 512


def usable():
    """@return why this machine cannot have one; empty: it can"""
    if os.geteuid() != 0 or not pathlib.Path("/dev/loop-control").exists():
        return "needs root and loop devices"
    return ""


class HangingStore:
    """An ext4 of its own at `folder`, frozen and thawed from outside."""

    def __init__(self, place):
        image = place.folder / "store.img"
        self.folder = place.folder / "store"
        self.folder.mkdir()
        images.must("truncate", "-s", f"{SIZE_MIB}M", image)
        images.must("mkfs.ext4", "-q", image)
        images.must("mount", "-o", "loop", image, self.folder)
        self.hangs = False
        place.closing.callback(self._close)

    def hang(self):
        images.must("fsfreeze", "--freeze", self.folder)
        self.hangs = True

    def answer(self):
        if self.hangs:
            images.must("fsfreeze", "--unfreeze", self.folder)
        self.hangs = False

    def _close(self):
        self.answer()
        subprocess.run(["umount", "-l", self.folder], check=False)


def stuck_threads(pid):
    """@return how many threads of a process, and of its children, wait where no signal reaches"""
    count = 0
    for task in pathlib.Path("/proc").glob("[0-9]*/task/*/stat"):
        try:
            fields = task.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        owner = int(task.parts[2])
        parent = int(fields[1])
        count += fields[0] == "D" and pid in (owner, parent)
    return count


def wait_stuck(process, seconds=60):
    """Until a thread of the backup really hangs in the kernel."""
    deadline = lab.Deadline(seconds)
    while not stuck_threads(process.pid):
        if process.poll() is not None or deadline.passed():
            raise AssertionError(f"nothing hangs; the backup: {process.poll()}")
        process_wait(process, 0.05)


def process_wait(process, seconds):
    """@return the exit status, or None while it runs after so many seconds"""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
