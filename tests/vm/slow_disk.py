"""A folder whose disk takes its time for every write, and no cache hides it."""
import os
import shutil
import subprocess

import images
import lab


def usable():
    """@return why such a folder cannot be had here; empty: it can"""
    missing = [tool for tool in ("nbdfuse", "nbdkit", "mkfs.ext4") if not shutil.which(tool)]
    if missing:
        return f"not installed: {missing}"
    if os.geteuid() != 0 or lab.unprivileged() == []:
        return "needs root: a loop device is mounted"
    return "" if os.path.exists("/dev/fuse") else "no /dev/fuse"


def slow_folder(place, write_ms):
    """@param write_ms what each write to the disk takes"""
    disk = place.folder / "slow-disk"
    disk.touch()
    place.spawn("nbdfuse", disk, "--command", "nbdkit", "-s", "--filter=delay", "memory", "1G",
                f"wdelay={write_ms}ms", log="nbdfuse.log")
    deadline = lab.Deadline(30)
    while disk.stat().st_size == 0:
        if deadline.passed():
            raise RuntimeError((place.folder / "nbdfuse.log").read_text())
    place.closing.callback(subprocess.run, ["umount", "-l", disk], check=False)
    images.must("mkfs.ext4", "-q", disk)
    folder = place.folder / "slow"
    folder.mkdir()
    images.must("mount", "-o", "loop,sync", disk, folder)
    folder.chmod(0o755)
    place.closing.callback(subprocess.run, ["umount", "-l", folder], check=False)
    return folder
