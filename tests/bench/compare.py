#!/usr/bin/python3
"""The figures of a backup, beside its peers on the same data in one run.

    tests/vm/with-libvirt.sh /usr/bin/python3 tests/bench/compare.py [--rounds N] [--json FILE]
            [--svg FILE] [--build FOLDER] [--peers nbdcopy,restic,borg,borg_4M,virtnbdbackup]
            [--compressions lz4,none] [--short] [--mib N]

A 4 GiB qcow2 disk holds 1,792 MiB: half random, a quarter text, a quarter repeats of earlier
1-MiB pieces. A paused QEMU serves it, so that all read the same bytes. Seconds are wall-clock
medians over the rounds; a ratio compares two medians of this run and nothing else. The first round
also makes six points with each tool, forgets every second one, the last one too, and frees the
space. Then each stage of the pipeline is measured by itself (bench_chunk): *limit* is what the
processors allow if all stages keep all of them busy. --short leaves out the six points, --mib makes
less data, to try the bench itself. Peers that are not installed end the run: leave them out with
--peers.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time

import chart
import peers
from peers import DISK_BYTES, MIB, WRITE_BYTES, WRITES, run, stored_bytes

ROOT = pathlib.Path(__file__).resolve().parents[2]


def text_piece(generator):
    words = ["".join(generator.choices("etaoinshrdlucmfwypvbgkjqxz", k=generator.randint(2, 9)))
             for _ in range(4096)]
    text = " ".join(generator.choices(words, k=MIB // 4)).encode()
    return text[:MIB]


def make_mixed(path, mib):
    """The peers' data set: seeded, so that every run has the same bytes."""
    generator = random.Random(20261122)
    kept = []
    with open(path, "wb") as out:
        for i in range(mib):
            if i % 4 == 3:
                piece = generator.choice(kept)
            elif i % 4 == 1:
                piece = text_piece(generator)
            else:
                piece = generator.randbytes(MIB)
            if i % 8 < 3 and len(kept) < 256:
                kept.append(piece)
            out.write(piece)
        out.truncate(DISK_BYTES)


def peak_rss_mib(*command, env=None):
    """Runs a command under time(1)'s counting. @return peak RSS in MiB of the largest process"""
    code = ("import os,sys,resource,subprocess;"
            "r=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    return int(run(sys.executable, "-c", code, *command, env=env).out) / 1024


class Qemu:
    """A paused QEMU on the disk, with one monitor for Stillpoint and one for the bench."""

    def __init__(self, work, image):
        self.work = work
        command = ["qemu-system-x86_64", "-S", "-accel", "tcg", "-nodefaults", "-display", "none",
                   "-m", "64", "-blockdev",
                   "driver=qcow2,node-name=n0,discard=unmap,file.driver=file,"
                   f"file.filename={image}",
                   "-device", "virtio-blk-pci,drive=n0,id=vda,serial=bench"]
        for name in ("product", "bench"):
            command += ["-qmp", f"unix:{work}/{name}.qmp,server=on,wait=off"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.monitor = self.connect()

    def connect(self):
        for _ in range(200):
            try:
                monitor = socket.socket(socket.AF_UNIX)
                monitor.connect(f"{self.work}/bench.qmp")
                self.file = monitor.makefile("rw")
                self.file.readline()
                self.monitor = monitor
                self.command("qmp_capabilities")
                return monitor
            except OSError:
                time.sleep(0.05)
        sys.exit("QEMU's monitor did not answer")

    def command(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                sys.exit(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def write_random(self, generator, count):
        for block in generator.sample(range(DISK_BYTES // WRITE_BYTES), count):
            # A pattern that was never written before: the chunk must be new to the vault.
            line = (f'qemu-io -d /machine/peripheral/vda/virtio-backend '
                    f'"write -s {self.work}/noise {block * WRITE_BYTES} {WRITE_BYTES}"')
            (self.work / "noise").write_bytes(generator.randbytes(WRITE_BYTES))
            self.command("human-monitor-command", **{"command-line": line})

    def end(self):
        self.command("quit")
        self.process.wait()


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = pathlib.Path(os.environ["STILLPOINT_LAB"]) / "bench"
        self.work.mkdir(mode=0o755)
        self.raw = self.work / "disk.raw"
        self.fresh = self.work / "fresh.qcow2"
        self.image = self.work / "disk.qcow2"  # a copy of it in each round: a round writes into it
        self.vault = self.work / "vault"
        self.figures = {}
        self.env = os.environ | {"STILLPOINT_KEY_FILE": str(self.work / "key")}
        config = self.work / "host.xml"
        config.write_text(f'<host><state dir="{self.work}/state"/>'
                          f'<run dir="{self.work}/run"/></host>')
        self.stillpoint = [f"{options.build}/host-plugin/manager/stillpoint", "--json", "--config",
                           str(config), "--vault", str(self.vault)]
        self.random = random.Random(1)

    def add(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def prepare(self):
        make_mixed(self.raw, self.options.mib)
        run("qemu-img", "convert", "-O", "qcow2", self.raw, self.fresh)

    def begin_round(self):
        """All peers start with the same data, a warm cache and a disk that has nothing to do."""
        shutil.copyfile(self.fresh, self.image)
        os.sync()
        for image in (self.raw, self.image):
            with open(image, "rb") as file:
                while file.read(16 * MIB):
                    pass

    def timed(self, what, *command, server=None):
        done = run(*self.stillpoint, *command, env=self.env, server=server)
        self.add(f"{what}_s", done.seconds)
        self.add(f"{what}_cpu_s", done.cpu_s)
        return json.loads(done.out)

    def make_vault(self, compression="zstd"):
        run(*self.stillpoint, "vault", "init", self.vault, "--encryption", "keyfile",
            "--compression", compression, env=self.env)

    def back_up(self, what, qemu):
        """@return the point; adds what the vault has grown by"""
        before = stored_bytes(self.vault)
        point = self.timed(what, "backup", "bench", "--qmp", self.work / "product.qmp",
                           server=qemu.process.pid)
        self.add(f"{what}_stored_MiB", (stored_bytes(self.vault) - before) / MIB)
        return point

    def stillpoint_round(self, long):
        self.make_vault()
        qemu = Qemu(self.work, self.image)
        ids = [self.back_up("full", qemu)["point"]]
        qemu.write_random(self.random, WRITES)
        point = self.back_up("increment", qemu)
        assert point["disks"][0]["mode"] == "increment", point["disks"][0]
        ids.append(point["point"])
        point = self.back_up("empty_increment", qemu)
        ids.append(point["point"])
        self.add("snapshot_ms", point["snapshot_ms"])
        qemu.end()
        self.timed("check_read_data", "vault", "check", self.vault, "--read-data")
        self.add("check_MiB_per_s",
                 stored_bytes(self.vault) / MIB / self.figures["check_read_data_s"][-1])
        self.cache_packs(False)
        self.restore("restore_cold")
        self.cache_packs(True)
        self.restore("restore")
        if long:
            self.collect(ids)
        shutil.rmtree(self.vault)

    def cache_packs(self, wanted):
        """What the peers are given from the page cache, Stillpoint is, too; and not, beside it."""
        for pack in (self.vault / "packs").glob("*/*"):
            with open(pack, "rb") as file:
                if wanted:
                    file.read()
                else:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def restore(self, what):
        target = self.work / "restored"
        self.timed(what, "restore", "bench@latest", "--to", target, "--format", "raw")
        same = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2",
                               f"{target}/vda.raw", self.image], capture_output=True, check=False)
        assert same.returncode == 0, same.stdout
        shutil.rmtree(target)

    def collect(self, ids):
        """As the peers do: six points, every second one goes."""
        qemu = Qemu(self.work, self.image)
        while len(ids) < peers.POINTS:
            qemu.write_random(self.random, WRITES)
            ids.append(self.back_up("later", qemu)["point"])
        qemu.end()
        before = stored_bytes(self.vault)
        self.timed("forget", "forget", *ids[1::2])
        self.timed("collect", "vault", "gc", self.vault)
        self.add("collect_freed_MiB", (before - stored_bytes(self.vault)) / MIB)
        run(*self.stillpoint, "vault", "check", self.vault, "--read-data", env=self.env)

    def compression_rounds(self):
        """Only a full backup: what else there is costs the same."""
        for compression in filter(None, self.options.compressions.split(",")):
            self.begin_round()
            self.make_vault(compression)
            qemu = Qemu(self.work, self.image)
            self.back_up(f"full_{compression}", qemu)
            qemu.end()
            shutil.rmtree(self.vault)

    def rss_round(self):
        self.make_vault()
        qemu = Qemu(self.work, self.image)
        self.add("full_peak_rss_MiB",
                 peak_rss_mib(*self.stillpoint, "backup", "bench", "--qmp",
                              self.work / "product.qmp", env=self.env))
        qemu.end()
        shutil.rmtree(self.vault)

    def stages(self):
        """Each stage by itself, on the same data."""
        out = run(f"{self.options.build}/tests/bench/bench_chunk", "--file", self.raw, "--mib",
                  self.options.mib, "--rounds", 2, "--whole", 0, "--folder", self.work).out
        return json.loads(out)

    def run(self):
        self.prepare()
        tools = [peers.ALL[name](self) for name in filter(None, self.options.peers.split(","))]
        for number in range(self.options.rounds):
            long = number == 0 and not self.options.short
            self.begin_round()
            self.stillpoint_round(long)
            self.compression_rounds()
            for tool in tools:
                self.begin_round()
                tool.story(long)
        self.begin_round()
        self.rss_round()
        return self.report(self.stages())

    def report(self, stages):
        medians = {name: round(statistics.median(values), 3)
                   for name, values in self.figures.items()}
        medians["full_MiB_per_s"] = round(self.options.mib / medians["full_s"], 1)
        fulls = ["full"] + [f"full_{name}" for name in self.options.compressions.split(",") if name]
        for full in fulls:
            for peer in ("nbdcopy_null", "restic_full", "borg_full", "virtnbdbackup_full"):
                if f"{peer}_s" in medians:
                    medians[f"{full}_vs_{peer}"] = round(
                        medians[f"{peer}_s"] / medians[f"{full}_s"], 2)
        for ours, theirs in (("restore", "nbdcopy_file"), ("restore", "restic_restore"),
                             ("collect", "restic_collect"), ("increment", "restic_second"),
                             ("increment", "borg_second")):
            if f"{theirs}_s" in medians and f"{ours}_s" in medians:
                medians[f"{ours}_vs_{theirs}"] = round(
                    medians[f"{theirs}_s"] / medians[f"{ours}_s"], 2)
        for name in [*fulls, "restic_full", "borg_full", "borg_4M_full", "virtnbdbackup_full"]:
            if f"{name}_cpu_s" in medians:
                medians[f"{name}_cpu_s_per_GiB"] = round(
                    medians[f"{name}_cpu_s"] * 1024 / self.options.mib, 2)
        add_limits(medians, stages, fulls)
        return {"rounds": self.options.rounds, "cores": os.cpu_count(),
                "data_MiB": self.options.mib, "medians": medians, "stages": stages,
                "all": self.figures}


def add_limits(medians, stages, fulls):
    """How fast the processors could do it: cores over the sum of all stages' time for the data."""
    if "nbdcopy_null_cpu_s" not in medians:
        return
    data, cost = stages["bytes"], stages["cpu_ns_per_byte"]
    for full in fulls:
        compression = full.partition("_")[2] or "zstd"
        stored = stages["stored_bytes"][compression]
        nanoseconds = medians["nbdcopy_null_cpu_s"] * 1e9
        nanoseconds += data * (cost["zero_test"] + cost["id"])
        nanoseconds += stages["unique_bytes"] * cost.get(compression, 0)
        nanoseconds += stored * (cost["seal"] + cost["pack_name"] + cost["write"])
        limit = os.cpu_count() * data / MIB / (nanoseconds / 1e9)
        medians[f"{full}_limit_MiB_per_s"] = round(limit, 1)
        medians[f"{full}_of_limit"] = round(data / MIB / medians[f"{full}_s"] / limit, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--svg")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--mib", type=int, default=1792)
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--peers", default=",".join(peers.ALL))
    parser.add_argument("--compressions", default="lz4,none")
    options = parser.parse_args()
    if "STILLPOINT_LAB" not in os.environ:
        sys.exit("run me through tests/vm/with-libvirt.sh")
    report = Bench(options).run()
    for name, value in report["medians"].items():
        print(f"{name:36} {value}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if options.svg:
        pathlib.Path(options.svg).write_text(chart.draw(report))


if __name__ == "__main__":
    main()
