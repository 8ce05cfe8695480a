"""What happens to the disks and the VM between backups: chosen by the dice, applied to the disk and
to its model alike."""
import math
import signal

import images
import soak_world

MIB = 1 << 20
SECTOR = 512
DISK_BYTES_MAX = 96 * MIB


def extent(dice, size, longest=MIB):
    """Sectors anywhere on a disk: short ones are as frequent as long ones."""
    length = int(math.exp(dice.uniform(math.log(4096), math.log(longest))))
    length = min(length // SECTOR * SECTOR, size)
    offset = dice.randrange(0, size - length + 1, SECTOR)
    if dice.random() < 0.5:  # as most filesystems write
        offset = offset // 4096 * 4096
    if dice.random() < 0.05:
        offset = size - length
    return offset, length


class Disturber:
    """The events; each takes the disk or the VM from one state to another and tells it."""

    def __init__(self, world):
        self.world, self.dice = world, world.dice
        self.saved = None  # (disk, size, image, shadow's file): an older state to come back to

    # --- writes

    def command_for(self, disk, *, discards=True):
        """@return what qemu-io is to do; the shadow has it already"""
        size, dice, shadow = disk.shadow.size, self.dice, disk.shadow
        kind = dice.choices(("noise", "repeat", "pattern", "zeros", "zero data", "discard"),
                            (30, 15, 15, 15, 5, 20 if discards else 0))[0]
        offset, length = extent(dice, size, 4 * MIB if kind == "discard" else MIB)
        if kind == "discard":
            if dice.random() < 0.7:
                offset = offset // disk.cluster * disk.cluster
                length = min(max(length // disk.cluster, 1) * disk.cluster, size - offset)
            shadow.discard(offset, length, disk.cluster)
            return f"discard {offset} {length}"
        if kind == "zeros":
            shadow.zero(offset, length)
            return f"write -z {dice.choice(('', '-u '))}{offset} {length}"
        if kind == "zero data":
            shadow.zero(offset, length)
            return f"write -P 0 {offset} {length}"
        if kind == "pattern":
            byte = dice.randrange(1, 256)
            shadow.write(offset, bytes([byte]) * length)
            return f"write -P {byte} {offset} {length}"
        piece = dice.randbytes(length if kind == "noise" else 4096)
        data = (piece * (length // len(piece) + 1))[:length]
        noise = self.world.place.folder / "noise"
        noise.write_bytes(data)
        noise.chmod(0o644)
        shadow.write(offset, data)
        return f"write -s {noise} {offset} {length}"

    def writes(self, count, during=None):
        """@param during a transfer: the time that it can be held"""
        machine, done = self.world.machine, 0
        for _ in range(count):
            if during is not None and during.left() < 1.0:
                break
            disk = self.dice.choice(self.world.plugged())
            discards = during is None or machine.trims_during_backup
            machine.io(disk, self.command_for(disk, discards=discards))
            done += 1
        self.world.counts["writes"] += done
        return done

    def discard_all(self):
        disk = self.dice.choice(self.world.plugged())
        disk.shadow.discard(0, disk.shadow.size, disk.cluster)
        self.world.machine.io(disk, f"discard 0 {disk.shadow.size}")
        self.world.tell(f"discard all: {disk.name}")

    # --- sizes

    def new_size(self, disk, *, larger):
        size = disk.shadow.size
        if larger:
            return size + SECTOR * self.dice.randrange(1, 12 * MIB // SECTOR)
        return max(4 * MIB, size - SECTOR * self.dice.randrange(1, 6 * MIB // SECTOR))

    def may_grow(self, disk):
        return not disk.shrunk_for and disk.shadow.size < DISK_BYTES_MAX

    def grow(self):
        able = [disk for disk in self.world.plugged() if self.may_grow(disk)]
        if not able:
            return
        disk = self.dice.choice(able)
        size = self.new_size(disk, larger=True)
        try:
            self.world.machine.resize(disk, size)
        except Exception as refusal:  # pylint: disable=broad-exception-caught
            # QEMU's rule after a kill -9, until the bitmaps are removed.
            self.world.require("is inconsistent" in str(refusal), str(refusal))
            self.world.tell("refused resize")
            return
        self.world.machine.io(disk, "flush")
        self.resized(disk, size)
        self.world.tell(f"grows: {disk.name} to {size}")

    def resized(self, disk, size):
        """A shrink leaves the rest of its last cluster in the image, and a growth shows it again:
        QEMU's doing. What the disk holds there is learned from it."""
        old = disk.shadow.size
        disk.shadow.resize(size)
        edge = min(size, -(-old // disk.cluster) * disk.cluster)
        if old < edge:
            scratch = self.world.place.folder / "edge"
            disk.shadow.write(old, images.part(disk.path, disk.format, old, edge, scratch))

    def resize_off(self, disk):
        larger = self.may_grow(disk) and self.dice.random() < 0.6
        size = self.new_size(disk, larger=larger)
        status, output = images.command("qemu-img", "resize", "-q", "--shrink", "-f", disk.format,
                                        disk.path, size)
        if status != 0:  # with broken bitmaps QEMU refuses
            self.world.require("bitmap" in output, output)
            self.world.tell("refused resize")
            return
        if size < disk.shadow.size:
            self.shrunk(disk, size)
        self.resized(disk, size)
        self.world.tell(f"resized off: {disk.name} to {size}")

    def shrunk(self, disk, size):
        """What lies above the last point's size is read in any case; below it tracking is over."""
        for vault, points in self.world.points.items():
            base = points.tracked.get(disk.name)
            if base == "?":
                disk.shrunk_for.add(vault)
            elif base is not None and points.expected[base][disk.name].size > size:
                disk.shrunk_for.add(vault)
                points.lose_tracking(disk.name)

    # --- the VM is off

    def write_off(self, disk):
        """Another program writes the image: qcow2 records it, raw cannot."""
        command = self.command_for(disk)
        images.must("qemu-io", "-d", "unmap", "-f", disk.format, "-c", command, disk.path)
        self.world.tell("write while off")

    def save(self, disk):
        if self.saved:
            return
        image, shadow = self.world.place.folder / "saved", self.world.place.folder / "saved.shadow"
        for source, target in ((disk.path, image), (disk.shadow.path, shadow)):
            images.must("cp", "--sparse=always", source, target)
        self.saved = (disk, disk.shadow.size, image, shadow)
        self.world.tell(f"saved: {disk.name}")

    def roll_back(self, _):
        """An older state of a disk comes back, with the bitmaps it had then."""
        if not self.saved or self.saved[0] not in self.world.disks:
            self.saved = None  # the disk was replaced meanwhile
            return
        disk, size, image, shadow = self.saved
        self.saved = None
        images.must("cp", "--sparse=always", image, disk.path)
        if size < disk.shadow.size:
            disk.shrunk_for = set(soak_world.VAULTS)
        disk.shadow.resize(size)
        disk.shadow.write(0, shadow.read_bytes())
        self.world.foreign.pop(disk.name, None)
        for points in self.world.points.values():
            points.tracked[disk.name] = "?"  # an increment if the bitmap's point is still there
        self.world.tell(f"older state: {disk.name}")

    def while_off(self):
        for _ in range(self.dice.randrange(3)):
            event = self.dice.choice((self.resize_off, self.write_off, self.save, self.roll_back))
            event(self.dice.choice([disk for disk in self.world.plugged()]))

    def restart(self):
        self.world.stop()
        self.while_off()
        self.world.start()

    def kill_vm(self):
        self.world.kill()
        if self.dice.random() < 0.4:
            self.while_off()
        self.world.start()

    # --- disks come and go

    def hot_plug(self):
        disk = self.dice.choice([disk for disk in self.world.disks if disk.hot])
        if disk.plugged:
            self.world.machine.unplug(disk)
            self.world.closed(disk)
            disk.plugged = False
            self.world.tell(f"unplugged: {disk.name}")
            return
        if self.dice.random() < 0.3:
            disk = self.replace(disk)
        self.world.machine.plug(disk)
        disk.plugged = True
        self.world.tell(f"plugged: {disk.name}")

    def replace(self, disk):
        """Another image under the same name, now and then at the same path."""
        fresh = self.world.make_hot(disk.name)
        if self.dice.random() < 0.5 and self.saved is None:
            fresh.path = fresh.path.rename(disk.path)
        else:
            disk.path.unlink()
        disk.shadow.close()
        self.world.disks[self.world.disks.index(disk)] = fresh
        self.world.foreign.pop(disk.name, None)
        fresh.plugged = False
        for points in self.world.points.values():
            points.lose_tracking(disk.name)
        self.world.tell(f"replaced: {disk.name}")
        return fresh

    # --- others

    def foreign_bitmap(self):
        disk = self.dice.choice(self.world.plugged())
        names = self.world.foreign.setdefault(disk.name, set())
        if len(names) > 3:
            return
        name = f"{self.dice.choice(('other', 'stillpoint-00c0ffee-'))}{self.dice.getrandbits(32)}"
        self.world.machine.add_foreign(disk, name)
        names.add(name)
        self.world.tell(f"foreign bitmap: {name} on {disk.name}")

    def restart_service(self):
        """@return the signal that libvirtd got; None: there is none, and the VM was restarted"""
        if not self.world.machine.has_service:
            self.restart()
            return None
        number = self.dice.choice((signal.SIGTERM, signal.SIGKILL))
        self.world.machine.restart_service(number)
        self.world.counts["libvirtd restarts"] += 1
        self.world.tell(f"libvirtd restarted: {number.name}")
        return number

    def shake(self):
        event = self.dice.choices(
            (lambda: None, self.discard_all, self.grow, self.restart, self.kill_vm, self.hot_plug,
             self.foreign_bitmap, self.restart_service), (20, 8, 14, 14, 12, 16, 6, 8))[0]
        event()
