#!/usr/bin/env python3
"""Every kind of image that QEMU can serve, as disks of one VM: full, increment, after a restart,
after a kill. And what zeroes, discards and huge disks cost. Plain QEMU without a guest.

    test_flavours.py [Flavours|Zeros|Huge]
"""
import random
import resource
import subprocess
import time

import images
import lab
import machine
import tracking_case
from tracking_case import MIB, SECRET, Case, everywhere, qcow2, raw

RAW = "images keep none while QEMU is off"


def chain(world, name):
    """Three layers; each below holds something of its own."""
    below = []
    for layer in range(3):
        path = world.images / f"{name}-{layer}.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", *below, path, "16M")
        if layer < 2:
            images.must("qemu-io", "-f", "qcow2", "-c", f"write -P {50 + layer} {9 + layer}M 1M",
                        path)
        lab.qemu_owns(path)
        below = ["-F", "qcow2", "-b", path]
    return machine.Disk(name, path)


def compressed(world, name):
    source = world.images / f"{name}.source"
    with open(source, "wb") as file:
        file.write(b"compressible" * (9 * MIB // 12))
        file.truncate(16 * MIB)
    path = world.images / f"{name}.qcow2"
    images.must("qemu-img", "convert", "-c", "-O", "qcow2", source, path)
    lab.qemu_owns(path)
    return machine.Disk(name, path)


def create_encrypted(path, image_format, options):
    """A fast machine's qemu-img may find that deriving the key took no time, and give up."""
    command = ["qemu-img", "create", "-q", "--object", SECRET, "-f", image_format, "-o", options,
               path, "16M"]
    for _ in range(50):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if "accurate CPU usage" not in done.stderr:
            break
    raise AssertionError(done.stderr)


def luks(world, name):
    path = world.images / f"{name}.qcow2"
    create_encrypted(path, "qcow2",
                     "encrypt.format=luks,encrypt.key-secret=luks,encrypt.iter-time=10")
    lab.qemu_owns(path)
    return machine.Disk(name, path, options=",encrypt.format=luks,encrypt.key-secret=luks")


def raw_luks(world, name):
    path = world.images / f"{name}.luks"
    create_encrypted(path, "luks", "key-secret=luks,iter-time=10")
    lab.qemu_owns(path)
    return machine.Disk(name, path, "luks", options=",key-secret=luks")


def data_file(*more):
    def make(world, name):
        path, data = world.images / f"{name}.qcow2", world.images / f"{name}.data"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", "-o",
                    ",".join([f"data_file={data}", *more]), path, "16M")
        for each in (path, data):
            lab.qemu_owns(each)
        return machine.Disk(name, path)
    return make


def tiny(size):
    def make(world, name):
        path = world.images / f"{name}.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, str(size))
        lab.qemu_owns(path)
        return machine.Disk(name, path, tiny=True)
    return make


def odd_size(world, name):
    path = world.images / f"{name}.qcow2"
    images.must("qemu-img", "create", "-q", "-f", "qcow2", path, str(16 * MIB + 4608))
    lab.qemu_owns(path)
    return machine.Disk(name, path)


def sectors(size):
    return qcow2(device=f",physical_block_size={size},logical_block_size={size}")


FLAVOURS = [
    Case("v3"),
    Case("v2", mode="compare", reason="version 2 .* " + RAW[7:], make=qcow2("-o", "compat=0.10")),
    Case("raw", mode="compare", reason="raw " + RAW, make=raw),
    Case("chain", make=chain),
    Case("packed", make=compressed),
    Case("luks", make=luks),
    Case("rawluks", mode="compare", reason="luks " + RAW, make=raw_luks),
    Case("data", make=data_file()),
    Case("dataraw", make=data_file("data_file_raw=on")),
    Case("subcl", make=qcow2("-o", "extended_l2=on,cluster_size=128k")),
    Case("small", make=qcow2("-o", "cluster_size=512")),
    Case("large", make=qcow2("-o", "cluster_size=2M")),
    Case("lazy", make=qcow2("-o", "lazy_refcounts=on,preallocation=metadata")),
    Case("s512", make=sectors(512)),
    Case("s4096", make=sectors(4096)),
    Case("oddsize", make=odd_size),
    Case("sector", make=tiny(512)),
    Case("empty", mode="compare", reason="an empty disk keeps none", make=tiny(0)),
]


class Flavours(tracking_case.Tracking):
    def write(self, world, offset, pattern):
        world.write_all(offset, pattern)
        world.vm.io("sector", f"write -P {pattern} 0 512")
        world.vm.io("oddsize", f"write -P {pattern} {16 * MIB} 4608")

    def test_full_increment_restart_and_kill(self):
        world = self.world("kinds")
        world.make(FLAVOURS)
        world.start()
        self.write(world, "1M", 1)
        world.backup(everywhere(FLAVOURS, "full", "first backup"))
        self.write(world, "9M", 20)
        world.backup(everywhere(FLAVOURS))
        self.write(world, "2M", 60)
        world.vm.quit()
        world.start()
        self.write(world, "3M", 90)
        world.backup({case.name: (case.mode, case.reason) for case in FLAVOURS})
        self.write(world, "4M", 120)
        world.picture()  # flushes what the kill would take
        world.vm.kill()
        world.start()
        self.write(world, "5M", 150)
        world.backup({case.name: ("compare", case.reason or "not shut down cleanly")
                      for case in FLAVOURS})


ZEROS = [Case("unmap"), Case("ignore", make=qcow2(options=",discard=ignore")),
         Case("detect", make=qcow2(options=",detect-zeroes=unmap")), Case("rawzero", make=raw),
         Case("v2zero", make=qcow2("-o", "compat=0.10"))]


class Zeros(tracking_case.Tracking):
    def test_zeroed_and_discarded_cost_nothing_and_come_back_as_zeros(self):
        world = self.world("zeros")
        noise = self.place.folder / "noise"
        noise.write_bytes(random.Random(17).randbytes(8 * MIB))
        noise.chmod(0o644)
        world.make(ZEROS)
        world.start()
        for case in ZEROS:
            world.vm.io(case.name, f"write -s {noise} 0 8M")
        world.backup(everywhere(ZEROS, "full", "first backup"))
        for case in ZEROS:
            for what in ("write -z 0 1M", "write -zu 1M 1M", "discard 2M 1M", "write -P 0 3M 1M",
                         "write -z 4100k 4k", "discard 5124k 4k", "write -P 0 6148k 4k",
                         "write -P 9 12M 64k", "discard 12M 64k", "discard 9M 64k"):
                world.vm.io(case.name, what)
        for report in world.backup(everywhere(ZEROS))["disks"]:
            self.assertLess(report["stored"], 512 << 10, report)
            self.assertLessEqual(report["shipped"], 4 * 65536 + (MIB if report["name"] == "ignore"
                                                                 else 0), report)

    def test_a_storm_of_discards(self):
        cases = [Case("storm")]
        world = self.world("storm")
        noise = self.place.folder / "noise"
        noise.write_bytes(random.Random(19).randbytes(64 * MIB))
        noise.chmod(0o644)
        world.make([Case("storm", make=qcow2(size_mib=64))])
        world.start()
        world.vm.io("storm", f"write -s {noise} 0 64M")
        world.backup(everywhere(cases, "full", "first backup"))
        # fstrim's way: many pieces of any size; what is cut inside a cluster keeps its bytes.
        generator, at = random.Random(23), 0
        while at < 63 * MIB:
            length = generator.choice([4096, 65536, 131072, 1 << 20])
            world.vm.io("storm", f"discard {at} {length}")
            at += length
        (report,) = world.backup(everywhere(cases))["disks"]
        self.assertLess(report["read"], 16 * MIB, report)  # clusters cut by a small piece
        self.assertEqual(report["stored"], 0, report)


class Huge(tracking_case.Tracking):
    """16 TiB beside 1 GiB with the same changes: what matters is what changed."""
    BYTES_MAX = 512 << 20  # resident, of any process of ours; the block map has 2 ^ 28 places

    def grown(self, name, size):
        world = self.world(name)
        world.make([Case(name, make=qcow2("-o", "cluster_size=64k", size_mib=size // MIB))])
        world.start()
        world.backup(everywhere([Case(name)], "full", "first backup"))
        generator = random.Random(29)
        for number in range(512):
            at = generator.randrange(size // 65536) * 65536
            world.vm.io(name, f"write -P {number % 251 + 1} {at} 64k")
        return world

    def test_the_same_changes_cost_the_same(self):
        seconds = {}
        for name, size in (("one", 1 << 30), ("sixteen", 16 << 40)):
            world = self.grown(name, size)
            start = time.monotonic()
            point = world.stillpoint.backup(world.access, expect=3)
            seconds[name] = time.monotonic() - start
            (report,) = point["disks"]
            self.assertEqual((report["mode"], report["size"]), ("increment", size))
            world.pictures = {name: (0, {})}
            world.vm.quit()
            images.must("qemu-img", "bitmap", "--remove", world.disks[name].path,
                        self.only_bitmap(world.disks[name].path))
            world.start()
            world.pictures = {name: world.picture()[name]}
            start = time.monotonic()
            world.backup({name: ("compare", "gone")})
            print(f"{name}: increment {seconds[name]:.2f} s, transfer {point['transfer_s']} s, "
                  f"shipped {report['shipped']}, stored {report['stored']}; compare and restore "
                  f"{time.monotonic() - start:.2f} s", flush=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
        print(f"most memory of one process: {used >> 20} MiB", flush=True)
        self.assertLess(used, self.BYTES_MAX)
        self.assertLess(seconds["sixteen"], 10 * seconds["one"] + 5)

    @staticmethod
    def only_bitmap(path):
        (name,) = images.bitmaps(path)
        return name


if __name__ == "__main__":
    tracking_case.main()
