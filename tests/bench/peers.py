"""The tools that compare.py sets beside Stillpoint: classes with one story on the same bytes.

A *story* is a first backup, a second one after 512 pieces of 64 KiB were written anew, a restore of
it; in the long form four more such backups; then every second one, the last one too, is forgotten
and its space freed. Figures are added under the tool's name: `<name>_full_s` and so on; `_cpu_s`
are the processor seconds of the command and its children, and of a server that it read from.
"""
import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import time

MIB = 1 << 20
DISK_BYTES = 4 << 30
WRITES = 512
WRITE_BYTES = 64 << 10
POINTS = 6
OK = (0, 3)  # 3: done, but below what was asked (a paused guest has no extension)


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def process_cpu_s(pid):
    """What a process that runs has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Done:
    """What a command took and said."""

    def __init__(self, seconds, cpu_s, out):
        self.seconds, self.cpu_s, self.out = seconds, cpu_s, out


def run(*command, env=None, cwd=None, server=None):
    """Runs a command, after what others wrote is on the disk: nobody pays for his predecessor.
    @param server pid of a process that works for it; its processor time counts, too"""
    os.sync()
    cpu = children_cpu_s() + (process_cpu_s(server) if server else 0)
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=env, cwd=cwd, text=True)
    out, errors = process.communicate()
    seconds = time.monotonic() - start
    if process.returncode not in OK:
        sys.exit(f"{' '.join(map(str, command))}: exit {process.returncode}\n{out}\n{errors}")
    cpu = children_cpu_s() + (process_cpu_s(server) if server else 0) - cpu
    return Done(seconds, cpu, out)


def stored_bytes(folder):
    return sum(f.stat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file())


class ChangedRaw:
    """Writes into the raw image, and takes it back at the end."""

    def __init__(self, path):
        self.path, self.random, self.before = path, random.Random(7), {}

    def change(self):
        with open(self.path, "r+b") as file:
            for block in self.random.sample(range(DISK_BYTES // WRITE_BYTES), WRITES):
                at = block * WRITE_BYTES
                file.seek(at)
                self.before.setdefault(at, file.read(WRITE_BYTES))
                file.seek(at)
                file.write(self.random.randbytes(WRITE_BYTES))

    def undo(self):
        with open(self.path, "r+b") as file:
            for at, data in self.before.items():
                file.seek(at)
                file.write(data)


class Tool:
    """One that reads the raw image and keeps snapshots in a repository."""
    name = ""

    def __init__(self, bench):
        self.bench = bench
        self.repository = bench.work / self.name
        self.out = bench.work / f"{self.name}-out"
        self.env = os.environ | self.environment()

    def timed(self, what, *command, cwd=None):
        done = run(*command, env=self.env, cwd=cwd)
        self.bench.add(f"{self.name}_{what}_s", done.seconds)
        self.bench.add(f"{self.name}_{what}_cpu_s", done.cpu_s)
        return done

    def story(self, long):
        raw = ChangedRaw(self.bench.raw)
        try:
            self.make()
            self.back_up("full", 0)
            full = stored_bytes(self.repository)
            self.bench.add(f"{self.name}_full_stored_MiB", full / MIB)
            raw.change()
            self.back_up("second", 1)
            self.bench.add(f"{self.name}_second_stored_MiB",
                           (stored_bytes(self.repository) - full) / MIB)
            self.out.mkdir()
            self.restore()
            shutil.rmtree(self.out)
            if long:
                for number in range(2, POINTS):
                    raw.change()
                    self.back_up("later", number)
                before = stored_bytes(self.repository)
                self.collect()
                freed = before - stored_bytes(self.repository)
                self.bench.add(f"{self.name}_collect_freed_MiB", freed / MIB)
        finally:
            raw.undo()
            for folder in (self.repository, self.out, self.bench.work / f"{self.name}-home"):
                shutil.rmtree(folder, ignore_errors=True)


class Restic(Tool):
    name = "restic"

    def environment(self):
        return {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(self.repository),
                "RESTIC_CACHE_DIR": str(self.bench.work / "restic-home")}

    def make(self):
        run("restic", "init", env=self.env)

    def back_up(self, what, _):
        self.timed(what, "restic", "backup", self.bench.raw)

    def restore(self):
        self.timed("restore", "restic", "restore", "latest", "--target", self.out)

    def collect(self):
        listed = json.loads(run("restic", "snapshots", "--json", env=self.env).out)
        ids = [snapshot["id"] for snapshot in sorted(listed, key=lambda s: s["time"])]
        self.timed("forget", "restic", "forget", *ids[1::2])
        self.timed("collect", "restic", "prune")


class Borg(Tool):
    name, chunker = "borg", "default"

    def environment(self):
        return {"BORG_PASSPHRASE": "bench", "BORG_REPO": str(self.repository),
                "BORG_BASE_DIR": str(self.bench.work / f"{self.name}-home")}

    def make(self):
        run("borg", "init", "--encryption", "repokey-blake2", env=self.env)

    def back_up(self, what, number):
        self.timed(what, "borg", "create", "--chunker-params", self.chunker, f"::p{number}",
                   self.bench.raw)

    def restore(self):
        self.timed("restore", "borg", "extract", "::p1", cwd=self.out)

    def collect(self):
        self.timed("forget", "borg", "delete", "::p1",
                   *[f"p{number}" for number in range(3, POINTS, 2)])
        self.timed("collect", "borg", "compact")


class Borg4M(Borg):
    name, chunker = "borg_4M", "fixed,4194304"


class Nbdcopy:
    """What reading and writing alone take."""
    name = "nbdcopy"

    def __init__(self, bench):
        self.bench = bench

    def story(self, _):
        path = self.bench.work / "nbd.sock"
        server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-e", "8", "-f", "qcow2", "-k", path,
                                   self.bench.image])
        while not path.exists():
            time.sleep(0.02)
        url = f"nbd+unix:///?socket={path}"
        target = self.bench.work / "copied.raw"
        # A restore syncs what it wrote, so nbdcopy does, too.
        for what, words in (("null", [url, "null:"]), ("file", ["--flush", url, target])):
            done = run("nbdcopy", *words, server=server.pid)
            self.bench.add(f"nbdcopy_{what}_s", done.seconds)
            self.bench.add(f"nbdcopy_{what}_cpu_s", done.cpu_s)
        target.unlink()
        server.terminate()
        server.wait()


class Virtnbdbackup:
    """Debian's, compressed; it keeps no vault, so that there is only a first backup here."""
    name = "virtnbdbackup"

    def __init__(self, bench):
        self.bench = bench

    def story(self, _):
        xml = self.bench.work / "bench.xml"
        xml.write_text(f"""<domain type='qemu'><name>bench</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{self.bench.image}'/><target dev='vda' bus='virtio'/></disk></devices></domain>""")
        run("virsh", "define", xml)
        run("virsh", "start", "bench", "--paused")
        out = self.bench.work / "virtnbd"
        server = None
        with contextlib.suppress(OSError):
            server = int(pathlib.Path("/run/libvirt/qemu/bench.pid").read_text())
        done = run("virtnbdbackup", "-d", "bench", "-l", "copy", "-z", "-o", out, server=server)
        self.bench.add("virtnbdbackup_full_s", done.seconds)
        self.bench.add("virtnbdbackup_full_cpu_s", done.cpu_s)
        self.bench.add("virtnbdbackup_full_stored_MiB", stored_bytes(out) / MIB)
        run("virsh", "destroy", "bench")
        run("virsh", "undefine", "bench")
        shutil.rmtree(out)


ALL = {tool.name: tool for tool in (Nbdcopy, Restic, Borg, Borg4M, Virtnbdbackup)}
