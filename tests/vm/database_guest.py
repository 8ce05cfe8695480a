#!/usr/bin/env python3
"""The guest with real database servers: the tiny guest's kernel, and a third disk that holds
PostgreSQL, MariaDB and Redis from the distribution's packages (about 75 MiB of downloads).

    PROGRAMS      the disk of programs
    templates()   the two disks with fresh, empty databases, made once by booting that guest
    start()       boots it; the servers' programs run in a chroot at /os, see guest/databases.sh
"""
import hashlib
import pathlib
import shutil

import images
import lab
import machine
import packaged_disk
import tiny_guest
import writing_guest

PROGRAMS = packaged_disk.PackagedDisk(
    "databases", ("postgresql-15", "mariadb-server", "redis-server"),
    # LLVM alone is a third of the whole.
    ("libllvm14", "libz3-4", "locales", "libc-l10n", "debconf", "dpkg", "systemd"), 640,
    (("root", 0), ("mysql", 104), ("postgres", 105), ("redis", 106), ("nobody", 65534)),
    ("srv/a", "srv/b"))
DATA_MIB = {"vda": ("ext4", 448), "vdb": ("xfs", 448)}
MEMORY_MIB = 640
HERE = pathlib.Path(__file__).resolve().parent
CONTROL = HERE / "guest/databases.sh"

MOUNT = """
ip link set lo up
mkdir -p /os
mount -t ext4 -o ro /dev/vdc /os
mount -t proc proc /os/proc
mount -t sysfs sysfs /os/sys
mount -t devtmpfs devtmpfs /os/dev
mkdir -p /os/dev/shm
for folder in run tmp var/log dev/shm; do mount -t tmpfs -o mode=1777 tmpfs /os/$folder; done
mount -o bind /lab /os/lab
mount -o bind /etc/stillpoint /os/etc/stillpoint
mount -t ext4 /dev/vda /os/srv/a && mount -t xfs /dev/vdb /os/srv/b
mkdir -p /os/srv/a/stillpoint
mount -o bind /os/srv/a/stillpoint /os/var/lib/stillpoint
"""


def start(place, disks, *, name="guest", files=None, main="", extra=(), **options):
    """Boots the guest with the disks at /os/srv/a and /os/srv/b; no server runs yet."""
    extra = [*PROGRAMS.arguments(place), *extra]
    files = {"lab/databases": CONTROL, "etc/stillpoint/.keep": b"", **writing_guest.programs(place),
             **(files or {})}
    vm = machine.Machine(place, name, disks, files=files, main=MOUNT + main, extra=extra,
                         memory_mib=MEMORY_MIB, **options)
    vm.wait_ready()
    return vm


def control(vm, *words, **options):
    """Runs a verb of guest/databases.sh in the guest. @return its output"""
    return vm.run("exec chroot /os /bin/sh /lab/databases " + " ".join(map(str, words)), **options)


def build_templates(folder):
    with lab.Lab() as place:
        where = place.vm_folder("disks")
        disks = [machine.Disk(name, images.make(where / f"{name}.qcow2", size, kind))
                 for name, (kind, size) in DATA_MIB.items()]
        vm = start(place, disks, name="template", guest_port=False)
        control(vm, "prepare")
        vm.run("umount /os/var/lib/stillpoint && umount /os/srv/a && umount /os/srv/b")
        vm.power_off()
        folder.mkdir(exist_ok=True)
        for disk in disks:
            shutil.copy(disk.path, folder / f"{disk.name}.partial")
        for disk in disks:
            (folder / f"{disk.name}.partial").rename(folder / f"{disk.name}.qcow2")


def templates():
    """@return the folder with vda.qcow2 and vdb.qcow2: every server made, none ever under load"""
    recipe = hashlib.sha256(CONTROL.read_bytes()).hexdigest()[:12]
    folder = PROGRAMS.folder() / f"empty-{recipe}"
    with tiny_guest.locked(folder.parent / "templates.lock"):
        if not (folder / "vdb.qcow2").exists():
            build_templates(folder)
    return folder


def make_disks(place):
    """@return [vda, vdb] as machine.Disk, with databases that hold nothing yet"""
    where = place.vm_folder("disks")
    disks = []
    for name in DATA_MIB:
        path = pathlib.Path(shutil.copy(templates() / f"{name}.qcow2", where))
        lab.qemu_owns(path)
        disks.append(machine.Disk(name, path))
    return disks
