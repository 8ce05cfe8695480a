"""The guest most tests back up: ext4 on vda, xfs on vdb, and a writer that stamps both."""
import json
import pathlib

import images
import lab
import machine
import product

MOUNT = """
mount -t ext4 /dev/vda /mnt/a && mount -t xfs /dev/vdb /mnt/b
"""
EXTENSION = """
/lab/bin/stillpoint-guest >/run/stillpoint-guest.log 2>&1 &
"""
EXT4_MIB = 128
XFS_MIB = 320  # the smallest that mkfs.xfs makes is 300


def programs(place):
    """Paths in the guest and the programs of the build tree that go there, without their debug
    symbols: unpacking 20 MiB more would double the time of a boot."""
    built = lab.build_folder()
    paths = [built / "tests/vm/guest/stamper", built / "tests/vm/guest/lying_freeze",
             built / "guest-linux/stillpoint-guest"]
    stripped = place.folder / "stripped"
    stripped.mkdir(exist_ok=True)
    for path in paths:
        if not (stripped / path.name).exists():
            images.must("strip", "-o", stripped / path.name, path)
    return {f"lab/bin/{path.name}": stripped / path.name for path in paths}


def make_disks(place, *, image_format="qcow2", folder="disks"):
    """@return [vda, vdb] as machine.Disk, with fresh filesystems"""
    where = place.vm_folder(folder)
    return [machine.Disk("vda", images.make(where / f"vda.{image_format}", EXT4_MIB, "ext4",
                                            image_format=image_format), image_format),
            machine.Disk("vdb", images.make(where / f"vdb.{image_format}", XFS_MIB, "xfs",
                                            image_format=image_format), image_format)]


def start(place, disks, *, kind=machine.Machine, name="guest", files=None, main="", **options):
    """Boots the guest with both filesystems mounted; nothing writes yet.
    @param kind machine.Machine or domain.Domain"""
    files = {"etc/stillpoint/guest.xml":
             f'<guest><freeze budget="{product.FREEZE_BUDGET_SECONDS}s"/></guest>'.encode(),
             **programs(place), **(files or {})}
    vm = kind(place, name, disks, files=files, main=MOUNT + main, **options)
    vm.wait_ready()
    return vm


def start_writer(vm):
    """Starts the stamper and waits until it has written every slot once."""
    vm.run("mkfifo /run/stamper; stamper run /mnt/a /mnt/b >/run/stamper 2>&1 &")
    line = vm.run("head -n 1 /run/stamper; cat /run/stamper >/run/stamper.log 2>&1 &")
    if "every slot written" not in line:
        raise RuntimeError(f"the writer did not start: {line}")


def read_stamps(vm):
    """@return what the stamper finds on the mounted filesystems, {"a": {...}, "b": {...}}"""
    status, output = vm.run("stamper check /mnt/a /mnt/b", check=False)
    if status not in (0, 1):
        raise RuntimeError(f"stamper check: {output}")
    return json.loads(output)


def mount_once(place, vda, vdb, *, name="once"):
    """Boots a guest on two raw images, mounts both (which replays their journals), reads the
    stamps, unmounts, powers off. @return the stamps"""
    disks = [machine.Disk("vda", pathlib.Path(vda), "raw"),
             machine.Disk("vdb", pathlib.Path(vdb), "raw")]
    for disk in disks:
        lab.qemu_owns(disk.path)
    vm = start(place, disks, name=name, guest_port=False)
    stamps = read_stamps(vm)
    vm.run("umount /mnt/a && umount /mnt/b")
    vm.power_off()
    return stamps


def complaints(stamps):
    """What is wrong with the stamps of one instant; empty when nothing is."""
    found = [f"{disk}: {stamps[disk][what]} {what}" for disk in "ab" for what in ("torn", "missing")
             if stamps[disk][what] != 0]
    ahead = stamps["a"]["newest"] - stamps["b"]["newest"]
    if ahead not in (0, 1):
        found.append(f"vda is ahead of vdb by {ahead}")
    if stamps["a"]["newest"] == 0:
        found.append("no stamp at all")
    return found
