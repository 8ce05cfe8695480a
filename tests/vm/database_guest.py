#!/usr/bin/env python3
"""The guest with real database servers: the tiny guest's kernel, and a third disk that holds
PostgreSQL, MariaDB and Redis from the distribution's packages, unpacked and never configured.

    base()        the cached disk of programs, made first where needed (about 25 s and 75 MiB of
                  downloads, once per version of the servers); needs the network
    templates()   the two disks with fresh, empty databases, made once by booting that guest
    start()       boots it; the servers' programs run in a chroot at /os, see guest/databases.sh
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import guest_packages
import images
import lab
import machine
import tiny_guest
import writing_guest

PROGRAMS = "STILLPOINT_LAB_DATABASES"
SERVERS = ["postgresql-15", "mariadb-server", "redis-server"]
# What apt takes for granted in every Debian, and the servers and hooks do use.
BASICS = ["base-files", "coreutils", "dash", "grep", "sed", "util-linux", "mount", "procps",
          "findutils"]
# Of no use in a guest that nobody logs in to; LLVM alone is a third of the whole.
LEFT_OUT = {"libllvm14", "libz3-4", "locales", "libc-l10n", "debconf", "dpkg", "systemd"}
USERS = {"root": 0, "mysql": 104, "postgres": 105, "redis": 106, "nobody": 65534}
PROGRAMS_MIB = 640
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


def write_accounts(root):
    lines = [f"{name}:x:{number}:{number}::/:/bin/sh" for name, number in USERS.items()]
    (root / "etc/passwd").write_text("\n".join(lines) + "\n")
    lines = [f"{name}:x:{number}:" for name, number in USERS.items()]
    (root / "etc/group").write_text("\n".join(lines) + "\n")


def build_programs(target):
    """Makes the disk of programs: an ext4 that nothing will ever write to."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        root = guest_packages.unpack(scratch, [*SERVERS, *BASICS], LEFT_OUT)
        for folder in ("lab", "etc/stillpoint", "var/lib/stillpoint", "srv/a", "srv/b"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(root / "var/run", ignore_errors=True)
        (root / "var/run").symlink_to("/run")
        write_accounts(root)
        image = scratch / "image"
        with open(image, "wb") as out:
            out.truncate(PROGRAMS_MIB * images.MIB)
        # Whoever unpacked it: in the guest all of it belongs to root.
        as_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
        tiny_guest.run(*as_root, "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(root),
                       str(image))
        tiny_guest.run("cp", "--sparse=always", str(image), f"{target}.partial")
        os.replace(f"{target}.partial", target)


def base():
    """Builds what is missing. Call it before lab.enter(), because it needs the network.
    @return the folder of the cached disk; raises RuntimeError when it cannot be made"""
    versions = guest_packages.with_fresh_lists(lambda: guest_packages.offered_versions(SERVERS))
    recipe = b"".join([versions.encode(), pathlib.Path(__file__).read_bytes(),
                       pathlib.Path(guest_packages.__file__).read_bytes()])
    folder = tiny_guest.cache_folder() / ("databases-" + hashlib.sha256(recipe).hexdigest()[:12])
    with tiny_guest.locked(tiny_guest.cache_folder() / "databases.lock"):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "programs.raw").exists():
            guest_packages.with_fresh_lists(lambda: build_programs(folder / "programs.raw"))
            (folder / "versions").write_text(versions + "\n")
    return folder


def enter():
    """Like lab.enter(), for a test that starts this guest; skips where it cannot be made."""
    if PROGRAMS not in os.environ:
        try:
            os.environ[PROGRAMS] = str(base())
        except RuntimeError as error:
            lab.skip(f"the database servers cannot be fetched: {error}")
    lab.enter()


def programs_disk(place):
    """The cached disk where QEMU's user can reach it: the cache may lie below a closed home."""
    folder = place.folder / "programs"
    if not folder.exists():
        folder.mkdir()
        subprocess.run(["mount", "--bind", os.environ[PROGRAMS], folder], check=True)
    return folder / "programs.raw"


def start(place, disks, *, name="guest", files=None, main="", extra=(), **options):
    """Boots the guest with the disks at /os/srv/a and /os/srv/b; no server runs yet."""
    extra = ["-blockdev", "driver=file,node-name=programs,read-only=on,locking=off,filename="
             + str(programs_disk(place)), "-device", "virtio-blk-pci,id=programs,drive=programs",
             *extra]
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
    folder = pathlib.Path(os.environ[PROGRAMS]) / f"empty-{recipe}"
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


if __name__ == "__main__":
    sys.exit(print(base()))
