#!/usr/bin/python3
"""Makes tests/golden/made-vN anew: small vaults with every encoding that the format has, written by
the program itself, as root.

    tests/golden/make_vaults.py FOLDER [--build BUILD]

FOLDER is one that does not exist, or the one of the format that is still being worked on: folders
of released formats stay as they are. Beside it FOLDER.txt says what each point was made of, by
SHA-256 of the images, which the program had no part in. `golden/vault` then proves that every
encoding is there: see vault_made_test.cpp, which lists the folders.

    passphrase  zstd; two slots; one point of three was forgotten, so that no map names its bases;
                a lost point that a repair brought back; a backup that was killed, one that a gc
                fenced, packs condemned and waiting for the first
    keyfile     lz4; two slots
    none        no encryption, no compression
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

CHUNK = 16 << 10
BLOCKS = 12  # enough that a map's node is worth a difference
HOUR_NS = 3600 * 10**9
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Image:
    """A disk of blocks: text, noise, and zeros."""

    def __init__(self, path, seed):
        self.path, self.random = path, random.Random(seed)
        with open(path, "wb") as file:
            for block in range(BLOCKS):
                file.write(self.noise(CHUNK) if block % 8 == 0 else self.text(block, seed))

    def noise(self, count):
        return self.random.randbytes(count)

    @staticmethod
    def text(block, seed):
        lines = (f"line {line} of block {block} in image {seed}\n" for line in range(CHUNK // 20))
        return "".join(lines).encode()[:CHUNK]

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def change(self):
        """A page of a block of noise and one of text, so that both are stored as differences."""
        self.write(2 * 4096, self.noise(300))
        self.write(CHUNK + 4096, self.noise(200))

    def grow(self):
        """Other blocks: a hole, and a tail that is no whole block, but sectors."""
        self.write(3 * CHUNK, bytes(CHUNK))
        self.write(BLOCKS * CHUNK, self.text(BLOCKS, 0)[:5120])

    def sha256(self):
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


class Maker:
    """One vault and the program."""

    def __init__(self, work, name, options):
        self.folder = work / name
        self.folder.mkdir()
        self.name, self.vault = name, self.folder / "vault"
        self.clock = self.folder / "clock"
        self.set_clock(-9)  # hours: what is done later is later for the vault too
        config = self.folder / "host.xml"
        config.write_text(f'<host><state dir="{self.folder}/state"/><run dir="{self.folder}/run"/>'
                          '</host>')
        build = pathlib.Path(options.build).resolve()
        clock_library = build / "tests/vm/libjumping_clock.so"
        assert clock_library.exists(), clock_library
        self.command = [str(build / "host-plugin/manager/stillpoint"), "--json", "--config",
                        str(config), "--vault", str(self.vault)]
        self.environment = os.environ | {
            "LD_PRELOAD": str(clock_library),
            "STILLPOINT_TEST_CLOCK": str(self.clock)}
        self.images, self.points = 0, {}

    def set_clock(self, hours):
        with open(self.clock, "r+b" if self.clock.exists() else "wb") as file:
            file.write(struct.pack("<q", int(hours * HOUR_NS)))

    def image(self):
        self.images += 1
        return Image(self.folder / f"disk{self.images}.raw", self.images)

    def run(self, *arguments):
        done = subprocess.run([*self.command, *map(str, arguments)], env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if done.returncode not in (0, 3):
            sys.exit(f"{' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def init(self, encryption, compression, key):
        words = ["--encryption", encryption, "--compression", compression, "--chunk-bytes", CHUNK]
        if key:
            self.use_key(key)
        self.run("vault", "init", self.vault, *words)

    def use_key(self, text):
        path = self.folder / f"key-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        path.write_text(text + "\n")
        path.chmod(0o600)
        self.environment["STILLPOINT_KEY_FILE"] = str(path)
        return path

    def add_key(self, text):
        first = self.environment["STILLPOINT_KEY_FILE"]
        second = self.use_key(text)
        self.environment["STILLPOINT_KEY_FILE"] = first
        self.run("vault", "key", "add", self.vault, "--new-key-file", second)

    def backup(self, label, image):
        point = self.run("backup", label, "--image", f"vda=raw:{image.path}")["point"]
        self.points[point] = image.sha256()
        return point

    def forget(self, point):
        self.run("forget", point)
        del self.points[point]

    def killed_backup(self, label):
        """A slow backup is killed as soon as its claim is there."""
        image = self.image()
        image.write(0, image.noise(1 << 20))
        before = set(self.vault.glob("runs/*"))
        process = subprocess.Popen([*self.command, "backup", label, "--image",
                                    f"vda=raw:{image.path}", "--bandwidth", "65536"],
                                   env=self.environment, start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while set(self.vault.glob("runs/*")) == before:
            if process.poll() is not None:
                sys.exit("the backup that was to be killed has ended")
            os.sched_yield()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def lose(self, point):
        (self.vault / "points" / point).unlink()
        repaired = self.run("vault", "repair", self.vault)
        assert repaired["recovered"] == [point], repaired

    def verify(self):
        """Everything comes back, by the program, before it is frozen."""
        self.run("vault", "check", self.vault, "--read-data")
        for point, wanted in self.points.items():
            target = self.folder / "restored"
            self.run("restore", point, "--to", target, "--format", "raw")
            assert hashlib.sha256((target / "vda.raw").read_bytes()).hexdigest() == wanted, point
            shutil.rmtree(target)

    def keep(self, target):
        for path in sorted(self.vault.rglob("*")):
            name = path.relative_to(self.vault)
            if path.is_file() and name.parts[0] != "tmp":
                (target / self.name / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / self.name / name)
        return [f"{self.name} {point} vda {digest}" for point, digest in self.points.items()]


def make_passphrase(maker):
    maker.init("passphrase", "zstd", "the first passphrase")
    maker.add_key("the second passphrase")
    disk, other = maker.image(), maker.image()
    first = maker.backup("chain", disk)
    disk.change()
    second = maker.backup("chain", disk)
    disk.change()
    disk.grow()
    maker.backup("chain", disk)
    maker.forget(maker.backup("other", other))
    maker.lose(second)
    maker.killed_backup("fenced")
    maker.set_clock(-6)
    maker.killed_backup("killed")
    maker.forget(first)  # after the backup began: it may build on it
    collected = maker.run("vault", "gc", maker.vault)
    assert collected["waiting_bytes"] > 0, collected


def make_keyfile(maker):
    maker.init("keyfile", "lz4", "5a" * 32)
    maker.add_key("a5" * 32)
    disk = maker.image()
    maker.backup("chain", disk)
    disk.change()
    maker.backup("chain", disk)


def make_none(maker):
    maker.init("none", "none", "")
    maker.environment.pop("STILLPOINT_KEY_FILE", None)
    disk = maker.image()
    maker.backup("chain", disk)
    disk.change()
    maker.backup("chain", disk)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--build", default=str(ROOT / "build"))
    options = parser.parse_args()
    target = pathlib.Path(options.folder).resolve()
    lines = []
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        makers = []
        for name, make in {"passphrase": make_passphrase, "keyfile": make_keyfile,
                           "none": make_none}.items():
            maker = Maker(pathlib.Path(work), name, options)
            make(maker)
            maker.verify()
            makers.append(maker)
        shutil.rmtree(target, ignore_errors=True)
        for maker in makers:
            lines += maker.keep(target)
    target.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    files = [path for path in target.rglob("*") if path.is_file()]
    print(f"{target}: {len(files)} files, {sum(path.stat().st_size for path in files)} bytes")


if __name__ == "__main__":
    main()
