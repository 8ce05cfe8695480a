#!/usr/bin/python3
"""The figures of a backup, beside its peers on the same data in one run.

    tests/vm/with-libvirt.sh /usr/bin/python3 tests/bench/compare.py [--rounds N] [--json FILE]
                             [--stillpoint PATH] [--peers nbdcopy,restic,virtnbdbackup]

A 4 GiB qcow2 disk holds 1,792 MiB: half random, a quarter text, a quarter repeats of earlier
1-MiB pieces. A paused QEMU serves it, so that all read the same bytes. Seconds are wall-clock
medians over the rounds; a ratio compares two medians of this run and nothing else.
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

MIB = 1 << 20
DATA_MIB = 1792
DISK_BYTES = 4 << 30
WRITES = 512
WRITE_BYTES = 64 << 10
ROOT = pathlib.Path(__file__).resolve().parents[2]


def text_piece(generator):
    words = ["".join(generator.choices("etaoinshrdlucmfwypvbgkjqxz", k=generator.randint(2, 9)))
             for _ in range(4096)]
    text = " ".join(generator.choices(words, k=MIB // 4)).encode()
    return text[:MIB]


def make_mixed(path):
    """The peers' data set: seeded, so that every run has the same bytes."""
    generator = random.Random(20261122)
    kept = []
    with open(path, "wb") as out:
        for i in range(DATA_MIB):
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


def run(*command, env=None, cwd=None):
    """Runs a command, after what others wrote is on the disk: nobody pays for his predecessor.
    @return seconds, stdout"""
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=env, cwd=cwd, text=True)
    out, errors = process.communicate()
    seconds = time.monotonic() - start
    if process.returncode not in (0, 3):
        sys.exit(f"{' '.join(map(str, command))}: exit {process.returncode}\n{out}\n{errors}")
    return seconds, out


def peak_rss_mib(*command, env=None):
    """Runs a command under time(1)'s counting. @return peak RSS in MiB of the largest process"""
    code = ("import os,sys,resource,subprocess;"
            "r=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    _, out = run(sys.executable, "-c", code, *command, env=env)
    return int(out) / 1024


def stored_bytes(folder):
    return sum(f.stat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file())


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
        self.figures = {}
        self.env = os.environ | {"STILLPOINT_KEY_FILE": str(self.work / "key")}
        config = self.work / "host.xml"
        config.write_text(f'<host><state dir="{self.work}/state"/>'
                          f'<run dir="{self.work}/run"/></host>')
        self.stillpoint = [f"{options.build}/host-plugin/manager/stillpoint", "--json", "--config",
                           str(config)]

    def add(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def prepare(self):
        make_mixed(self.raw)
        run("qemu-img", "convert", "-O", "qcow2", self.raw, self.fresh)

    def begin_round(self):
        """All peers start with the same data and a warm cache."""
        shutil.copyfile(self.fresh, self.image)
        for image in (self.raw, self.image):
            with open(image, "rb") as file:
                while file.read(16 * MIB):
                    pass

    def back_up(self, vault):
        seconds, out = run(*self.stillpoint, "backup", "bench", "--qmp",
                           self.work / "product.qmp", "--vault", vault, env=self.env)
        return seconds, json.loads(out)

    def stillpoint_round(self, generator, number):
        vault = self.work / f"vault-{number}"
        run(*self.stillpoint, "vault", "init", vault, "--encryption", "keyfile", env=self.env)
        qemu = Qemu(self.work, self.image)
        seconds, point = self.back_up(vault)
        self.add("full_s", seconds)
        self.add("full_stored_MiB", stored_bytes(vault) / MIB)
        before = stored_bytes(vault)
        qemu.write_random(generator, WRITES)
        seconds, point = self.back_up(vault)
        assert point["disks"][0]["mode"] == "increment", point["disks"][0]
        self.add("increment_s", seconds)
        self.add("increment_stored_MiB", (stored_bytes(vault) - before) / MIB)
        before = stored_bytes(vault)
        seconds, point = self.back_up(vault)
        self.add("empty_increment_s", seconds)
        self.add("empty_increment_stored_KiB", (stored_bytes(vault) - before) / 1024)
        self.add("snapshot_ms", point["snapshot_ms"])
        qemu.end()
        seconds, _ = run(*self.stillpoint, "vault", "check", vault, "--read-data", env=self.env)
        self.add("check_read_data_s", seconds)
        self.add("check_MiB_per_s", stored_bytes(vault) / MIB / seconds)
        target = self.work / "restored"
        seconds, _ = run(*self.stillpoint, "restore", "bench@latest", "--vault", vault, "--to",
                         target, "--format", "raw", env=self.env)
        self.add("restore_s", seconds)
        same = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2",
                               f"{target}/vda.raw", self.image], capture_output=True, check=False)
        assert same.returncode == 0, same.stdout
        shutil.rmtree(target)
        shutil.rmtree(vault)

    def rss_round(self):
        vault = self.work / "vault-rss"
        run(*self.stillpoint, "vault", "init", vault, "--encryption", "keyfile", env=self.env)
        qemu = Qemu(self.work, self.image)
        self.add("full_peak_rss_MiB",
                 peak_rss_mib(*self.stillpoint, "backup", "bench", "--qmp",
                              self.work / "product.qmp", "--vault", vault, env=self.env))
        qemu.end()
        shutil.rmtree(vault)

    def nbdcopy_round(self):
        socket_path = self.work / "nbd.sock"
        server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-e", "8", "-f", "qcow2", "-k",
                                   socket_path, self.image])
        while not socket_path.exists():
            time.sleep(0.02)
        seconds, _ = run("nbdcopy", f"nbd+unix:///?socket={socket_path}", "null:")
        self.add("nbdcopy_null_s", seconds)
        target = self.work / "copied.raw"
        # A restore syncs what it wrote, so nbdcopy does, too.
        seconds, _ = run("nbdcopy", "--flush", f"nbd+unix:///?socket={socket_path}", target)
        self.add("nbdcopy_file_s", seconds)
        target.unlink()
        server.terminate()
        server.wait()

    def restic_round(self):
        repository = self.work / "restic"
        env = os.environ | {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repository),
                            "RESTIC_CACHE_DIR": str(self.work / "restic-cache")}
        run("restic", "init", env=env)
        seconds, _ = run("restic", "backup", self.raw, env=env)
        self.add("restic_full_s", seconds)
        self.add("restic_stored_MiB", stored_bytes(repository) / MIB)
        seconds, _ = run("restic", "restore", "latest", "--target", self.work / "restic-out",
                         env=env)
        self.add("restic_restore_s", seconds)
        for name in ("restic", "restic-out", "restic-cache"):
            shutil.rmtree(self.work / name)

    def virtnbdbackup_round(self):
        xml = self.work / "bench.xml"
        xml.write_text(f"""<domain type='qemu'><name>bench</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{self.image}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>""")
        run("virsh", "define", xml)
        run("virsh", "start", "bench", "--paused")
        out = self.work / "virtnbd"
        seconds, _ = run("virtnbdbackup", "-d", "bench", "-l", "copy", "-z", "-o", out)
        self.add("virtnbdbackup_lz4_s", seconds)
        self.add("virtnbdbackup_stored_MiB", stored_bytes(out) / MIB)
        run("virsh", "destroy", "bench")
        run("virsh", "undefine", "bench")
        shutil.rmtree(out)

    def run(self):
        self.prepare()
        generator = random.Random(1)
        peers = self.options.peers.split(",")
        for number in range(self.options.rounds):
            self.begin_round()
            self.stillpoint_round(generator, number)
            self.begin_round()
            for peer in filter(None, peers):
                getattr(self, f"{peer}_round")()
        self.rss_round()
        return self.report()

    def report(self):
        medians = {name: round(statistics.median(values), 3)
                   for name, values in self.figures.items()}
        medians["full_MiB_per_s"] = round(DATA_MIB / medians["full_s"], 1)
        for peer in ("nbdcopy_null", "restic_full", "virtnbdbackup_lz4"):
            if f"{peer}_s" in medians:
                medians[f"full_vs_{peer}"] = round(medians[f"{peer}_s"] / medians["full_s"], 2)
        for peer in ("nbdcopy_file", "restic_restore"):
            if f"{peer}_s" in medians:
                medians[f"restore_vs_{peer}"] = round(
                    medians[f"{peer}_s"] / medians["restore_s"], 2)
        return {"rounds": self.options.rounds, "medians": medians, "all": self.figures}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--peers", default="nbdcopy,restic,virtnbdbackup")
    options = parser.parse_args()
    if "STILLPOINT_LAB" not in os.environ:
        sys.exit("run me through tests/vm/with-libvirt.sh")
    report = Bench(options).run()
    for name, value in report["medians"].items():
        print(f"{name:32} {value}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
