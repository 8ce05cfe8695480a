#!/usr/bin/python3
"""A soak: writes, zeros, discards, resizes, disks that come and go, kill -9 of QEMU and of
Stillpoint, restarts of libvirtd. After every cycle a random point is restored and compared with
the model, byte for byte; in the end all points are, and all that the vaults store is read.

    test_soak.py qmp|libvirt [--cycles N] [--seed SEED]

Everything that is chosen comes from the seed (also $STILLPOINT_SOAK_SEED, $STILLPOINT_SOAK_CYCLES);
only the moments of kills depend on the machine. Needs no guest.
"""
import argparse
import os
import random
import secrets
import signal
import sys
import time
import traceback

import lab
import soak_backup
import soak_events
import soak_machine
import soak_world

CYCLES = {"fast": 6, "normal": 12, "long": 220}[lab.length()]
POINTS_MAX = 14  # of each vault


class Soak:
    def __init__(self, options, place):
        self.options = options
        self.world = soak_world.World(
            place, random.Random(options.seed),
            soak_machine.LibvirtMachine if options.kind == "libvirt" else
            soak_machine.PlainMachine)
        self.events = soak_events.Disturber(self.world)
        self.seconds = 1.0  # of the last whole backup

    # --- one backup and its trouble

    def write_meanwhile(self, attempt):
        if attempt.reaches_transfer():
            attempt.held(lambda deadline: self.events.writes(4, during=deadline))
            self.world.counts["writes during a transfer"] += 1
        return attempt.held_too_long

    def sent(self, attempt, number, name):
        """A signal at any moment of the backup."""
        moment = self.world.dice.uniform(0, 1.1) * self.seconds
        if self.world.dice.random() < 0.4 and attempt.reaches_transfer():
            moment /= 8
        if attempt.outlives(moment):
            attempt.process.send_signal(number)
            self.world.counts[name] += 1
            self.world.story.append(f"{name} after {moment:.2f} s")
        return True

    def kill_it(self, attempt):
        return self.sent(attempt, signal.SIGKILL, "kill -9 of Stillpoint")

    def cancel_it(self, attempt):
        return self.sent(attempt, signal.SIGTERM, "SIGTERM to Stillpoint")

    def kill_the_vm(self, attempt):
        if attempt.outlives(self.world.dice.uniform(0, 1) * self.seconds):
            self.world.kill()
            attempt.before = None
        return True

    def restart_the_service(self, attempt):
        if not self.world.machine.has_service:
            return self.write_meanwhile(attempt)
        if attempt.outlives(self.world.dice.uniform(0, 1) * self.seconds):
            attempt.service_killed = self.events.restart_service() == signal.SIGKILL
        return True

    def backup(self, vault, trouble):
        world = self.world
        extra = ["--full"] if world.dice.random() < 0.06 else []
        started = time.monotonic()
        attempt = soak_backup.Attempt(world, vault, extra)
        may_fail = trouble(attempt)
        status = attempt.wait()
        document = world.vaults.bind(attempt)
        world.require(status in (0, 3) or may_fail,
                      f"backup: status {status}\n{attempt.text()[-4000:]}")
        world.require(document is not None or status not in (0, 3),
                      f"status {status} and no point\n{attempt.text()[-4000:]}")
        self.after(attempt)
        modes = "".join(disk["mode"][0] for disk in document["disks"]) if document else "no point"
        point = f"{soak_backup.short(document['point'])} " if document else ""
        world.tell(f"backup: {vault} {status} {point}{modes}{' '.join(['', *extra])}")
        if not may_fail:
            self.seconds = time.monotonic() - started
        return document

    def after(self, attempt):
        world = self.world
        lost = "" if attempt.before is None else world.machine.lost()
        if attempt.service_killed and attempt.before is not None and not lost:
            lost = soak_backup.lost_nodes(world, attempt.before)
        if lost:
            world.tell(lost)
            world.kill()
            # Its thread for the VM may still hold the lock of a VM that is gone: "held by
            # monitor=init-soak". Only a new libvirtd starts that VM again.
            world.machine.restart_service(signal.SIGTERM)
            attempt.before = None
            soak_backup.await_keepers(world)  # which end once the VM with the lost job is gone
        soak_backup.prove_clean(world, attempt.before)
        if attempt.before is None:
            world.start()
        else:
            world.require(world.machine.paused() == attempt.was_paused,
                          f"the VM was {'paused' if attempt.was_paused else 'running'}")
        world.prove_bitmaps()

    # --- cycles

    def cycle(self):
        world, dice = self.world, self.world.dice
        self.events.writes(dice.randrange(1, 9))
        self.events.shake()
        self.events.writes(dice.randrange(0, 4))
        vault = dice.choice(soak_world.VAULTS)
        trouble = dice.choices(
            (lambda attempt: False, self.write_meanwhile, self.kill_it, self.cancel_it,
             self.kill_the_vm, self.restart_the_service), (28, 24, 22, 10, 8, 8))[0]
        self.backup(vault, trouble)
        if trouble in (self.kill_it, self.cancel_it, self.restart_the_service):
            self.backup(vault if dice.random() < 0.8 else dice.choice(soak_world.VAULTS),
                        lambda attempt: False)
        self.restore_one()
        self.forget_some()

    def restore_one(self):
        known = [(vault, point) for vault, points in self.world.points.items()
                 for point in points.expected]
        if known:
            vault, point = self.world.dice.choice(known)
            self.world.vaults.restore(vault, point)

    def forget_some(self):
        dice = self.world.dice
        for vault, points in self.world.points.items():
            if len(points.expected) > POINTS_MAX or (
                    len(points.expected) > 2 and dice.random() < 0.07):
                point = dice.choice(list(points.expected))
                self.world.vaults.forget(vault, point)
                self.world.tell(f"forget: {vault} {soak_backup.short(point)}")

    def finish(self):
        self.world.prove_model()
        for vault, points in self.world.points.items():
            for point in list(points.expected):
                self.world.vaults.restore(vault, point)
            self.world.vaults.check(vault)

    def run(self):
        world = self.world
        world.start()
        for number in range(self.options.cycles):
            started = time.monotonic()
            try:
                self.cycle()
            finally:
                print(f"{number:4} {time.monotonic() - started:5.1f} s  {'; '.join(world.story)}",
                      flush=True)
                world.story = []
        self.finish()

    def summary(self):
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.world.counts.items()))
        return (f"restored and compared {self.world.vaults.restored} points, "
                f"mismatches {self.world.vaults.mismatches}; slowest clean-up "
                f"{self.world.slowest_clean_up:.1f} s; {counts}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("qmp", "libvirt"))
    parser.add_argument("--cycles", type=int,
                        default=int(os.environ.get("STILLPOINT_SOAK_CYCLES", CYCLES)))
    parser.add_argument("--seed", default=os.environ.get("STILLPOINT_SOAK_SEED"))
    return parser.parse_args()


def main():
    options = parse()
    options.seed = options.seed or secrets.token_hex(4)
    os.environ["STILLPOINT_SOAK_SEED"] = options.seed  # for the program inside the lab
    lab.enter(options.kind == "libvirt")
    with lab.Lab() as place:
        print(f"soak {options.kind}: {options.cycles} cycles, --seed {options.seed}", flush=True)
        soak = Soak(options, place)
        started = time.monotonic()
        try:
            soak.run()
        except Exception:  # pylint: disable=broad-exception-caught
            traceback.print_exc()
            log = place.folder / "backup.log"
            print(f"--- the last backup said:\n{log.read_text()[-1500:] if log.exists() else ''}")
            print(f"FAILED with --seed {options.seed}: {soak.summary()}", flush=True)
            sys.exit(1)
        print(f"{soak.summary()}; {time.monotonic() - started:.0f} s, --seed {options.seed}")


if __name__ == "__main__":
    main()
