"""The soak's VM, disks, vaults and model, and what must hold after every cycle."""
import collections
import uuid

import images
import lab
import product
import soak_backup
import soak_machine
import soak_model

MIB = 1 << 20
VAULTS = ("a", "b")
# qcow2 with clusters as they come, and with one that a 64 KiB chunk does not fit.
HOT_FLAVOURS = ([], ["-o", "cluster_size=32k,extended_l2=on"], ["-o", "compat=0.10"],
                ["-o", "cluster_size=256k"])


class SoakFailure(AssertionError):
    """Something that must hold does not."""


class World:
    """Everything that one run has. `dice` is the run's own source of chance, by its seed."""
    model = soak_model

    def __init__(self, place, dice, kind):
        self.place, self.dice = place, dice
        self.counts = collections.Counter()
        self.story = []  # of this cycle
        self.slowest_clean_up = 0.0  # seconds
        self.stillpoint = product.Stillpoint(place, vault="vault-a")
        self.points = {vault: soak_model.Points() for vault in VAULTS}
        self.vaults = soak_backup.Vaults(self)
        self.make_vaults()
        self.images = place.vm_folder("images")
        self.foreign = {}  # disk name: bitmaps of others' on it
        self.disks = [self.make_disk("vda", 48 * MIB), self.make_raw("vdb", 24 * MIB + 512),
                      self.make_hot("sda"), self.make_hot("sdb")]
        self.disks[3].plugged = False
        name = uuid.UUID(int=dice.getrandbits(128), version=4)
        named = kind.has_service or dice.random() < 0.5
        self.machine = kind(place, str(name) if named else "")

    def make_vaults(self):
        self.stillpoint.init()
        self.stillpoint.run("vault", "init", self.url("b"), "--encryption", "none")

    def url(self, vault):
        return f"file://{self.place.folder}/vault-{vault}"

    # --- disks

    def make_disk(self, name, size, *, options=(), **facts):
        image_format = facts.setdefault("format", "qcow2")
        path = self.images / f"{name}-{self.dice.getrandbits(24):06x}.{image_format}"
        images.must("qemu-img", "create", "-q", "-f", image_format, *options, path, size)
        lab.qemu_owns(path)
        shadow = soak_model.Shadow(self.place.folder / f"{path.name}.shadow", size)
        return soak_machine.SoakDisk(name, path, shadow=shadow, **facts)

    def make_raw(self, name, size):
        return self.make_disk(name, size, format="raw", cluster=512, persistent=False)

    def make_hot(self, name):
        options = self.dice.choice(HOT_FLAVOURS)
        text = " ".join(options)
        cluster = 256 if "256k" in text else 32 if "32k" in text else 64
        return self.make_disk(name, self.dice.randrange(8, 24) * MIB + 512 * self.dice.randrange(3),
                              options=options, hot=True, cluster=cluster << 10,
                              persistent="0.10" not in text)

    def plugged(self):
        return [disk for disk in self.disks if disk.plugged]

    def pictures(self):
        return {disk.name: disk.shadow.picture() for disk in self.plugged()}

    # --- the VM

    def start(self):
        paused = self.dice.random() < 0.4
        self.counts["starts"] += 1
        self.machine.start(self.plugged(), paused=paused)
        self.story.append("starts paused" if paused else "starts")

    def stop(self):
        self.machine.stop()
        for disk in self.plugged():
            self.closed(disk)
        self.tell("clean stop")

    def kill(self):
        self.machine.kill()
        self.counts["kill -9 of QEMU"] += 1
        for disk in self.plugged():
            self.foreign.pop(disk.name, None)  # may or may not have reached the file
            for points in self.points.values():
                points.lose_tracking(disk.name)
        self.story.append("kill -9 of QEMU")

    def closed(self, disk):
        """QEMU closed a disk in an orderly way: qcow2 keeps its bitmaps, others cannot."""
        if disk.persistent:
            return
        self.foreign.pop(disk.name, None)
        for points in self.points.values():
            points.lose_tracking(disk.name)

    # --- what is told and required

    def tell(self, text):
        self.story.append(text)
        self.counts[text.split(":")[0]] += 1

    def fail(self, text):
        raise SoakFailure(text)

    def require(self, truth, text):
        if not truth:
            self.fail(text)

    def prove_model(self):
        """The disks hold what the model says; else the test itself is wrong."""
        for disk in self.plugged():
            where = self.machine.live_difference(disk)
            self.require(not where, f"the model of {disk.name} is wrong: {where}")

    def prove_bitmaps(self):
        """Ours are two at most for a disk and vault; others' are where they were."""
        for disk in self.plugged():
            names = self.machine.bitmaps(disk)
            foreign = self.foreign.get(disk.name, set())
            self.require(foreign <= set(names), f"{disk.name} lost {foreign - set(names)}")
            ours = collections.Counter(name[:20] for name in names
                                       if name.startswith("stillpoint-") and name not in foreign)
            self.require(all(count <= 2 for count in ours.values()), f"{disk.name}: {names}")
