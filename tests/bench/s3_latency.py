#!/usr/bin/env python3
"""What `points`, `show`, an increment, a check and a restore cost on an object store that is 50 ms
away: requests and seconds, with and without the cache of metadata.

    s3_latency.py [--delay-ms 50] [--points 8] [--rounds 3] [--build FOLDER]

Starts a Ceph gateway of its own (see tests/vm/gateway.py); the disk is a powered-off image.
"""
import argparse
import os
import pathlib
import random
import shutil
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm"))
import delaying_proxy  # noqa: E402
import gateway  # noqa: E402
import lab  # noqa: E402
import product  # noqa: E402

MIB = 1 << 20
BLOCK = 64 << 10


class Bench:
    def __init__(self, place, options):
        self.place, self.options = place, options
        self.random = random.Random(1)
        self.gateway = gateway.Gateway(place)
        self.gateway.make_bucket("bench")
        self.disk = place.vm_folder("images") / "disk.raw"
        self.disk.write_bytes(self.random.randbytes(64 * MIB))
        lab.qemu_owns(self.disk)

    def product(self, proxy, name, configuration):
        made = product.Stillpoint(self.place, configuration=configuration,
                                  environment=self.gateway.environment(
                                      STILLPOINT_VAULT="s3://bench/vault",
                                      AWS_ENDPOINT_URL=f"http://127.0.0.1:{proxy.port}"))
        # The next one writes its configuration to the same place.
        own = made.folder / f"{name}.xml"
        shutil.copy(made.folder / "host.xml", own)
        made.command[made.command.index("--config") + 1] = str(own)
        return made

    def change(self):
        with open(self.disk, "r+b") as file:
            for _ in range(16):
                file.seek(self.random.randrange(64 * MIB // BLOCK) * BLOCK)
                file.write(self.random.randbytes(BLOCK))

    def measure(self, proxy, stillpoint, words):
        before, start = len(proxy.requests), time.monotonic()
        stillpoint.run(*words, expect=(0, 3))
        return time.monotonic() - start, len(proxy.requests) - before

    def backup(self):
        return "backup", "vm", "--image", f"vda=raw:{self.disk}"

    def run(self):
        with delaying_proxy.DelayingProxy(gateway.PORT, self.options.delay_ms / 2000) as proxy:
            variants = {"without": self.product(proxy, "without", '<cache size="none"/>'),
                        "with": self.product(proxy, "with", "")}
            variants["with"].run("vault", "init", "s3://bench/vault", "--encryption", "keyfile")
            for _ in range(self.options.points):
                self.change()
                variants["with"].run(*self.backup(), expect=(0, 3))
            point = variants["with"].run("show", "vm@latest").json["point"]
            restored = self.place.folder / "restored"
            restore = ("restore", "vm@latest", "--to", restored, "--format", "raw")
            check = ("vault", "check", "s3://bench/vault", "--read-data")
            for words in (("points",), ("show", point), self.backup(), check, restore):
                for name, stillpoint in variants.items():
                    taken = []
                    for _ in range(self.options.rounds):
                        shutil.rmtree(restored, ignore_errors=True)
                        if words[0] == "backup":
                            self.change()
                        taken.append(self.measure(proxy, stillpoint, words))
                    seconds = statistics.median(seconds for seconds, _ in taken)
                    requests = statistics.median(requests for _, requests in taken)
                    what = words[1] if words[0] == "vault" else words[0]
                    print(f"{what:8} {name:8} {requests:5.0f} requests {seconds:6.2f} s",
                          flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=50, help="of a round trip")
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build", help="of another version, to compare with")
    OPTIONS = parser.parse_args()
    if OPTIONS.build:
        os.environ["STILLPOINT_BUILD"] = OPTIONS.build
    lab.enter()
    with lab.Lab() as PLACE:
        Bench(PLACE, OPTIONS).run()
