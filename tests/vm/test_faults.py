#!/usr/bin/env python3
"""Bad input and faults, as a user meets them: clear errors, lower levels with a reason, nothing
left behind, and never a silent success. Plain QEMU without a guest.

    test_faults.py
"""
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading

import fault_case
import images
import product
from fault_case import MIB, Faults, make_disk

LONG = os.environ.get("STILLPOINT_TEST_LENGTH") == "long"


class BadInput(Faults):
    def test_unknown_names(self):
        vm, access = self.small_vm()
        run = self.stillpoint.run
        self.assertNotEqual(run("backup", "x", "--qmp", "/nowhere.sock", expect=1).error, "")
        self.assertEqual(run("backup", *access, "--disk", "vdz", expect=2).error, "vm.no_such_disk")
        self.assertEqual(run("show", "0" * 32, expect=1).error, "point.not_found")
        self.assertEqual(run("show", "01234567", expect=1).error, "point.not_found")
        self.assertEqual(run("show", "short", expect=2).error, "point.bad_name")
        self.assertEqual(run("show", "nobody@latest", expect=1).error, "point.not_found")
        point = self.stillpoint.backup(access, expect=3)["point"]
        self.assertEqual(run("restore", point, "--to", self.place.folder / "no", "--disk", "vdz",
                             expect=2).error, "point.no_such_disk")
        self.assert_nothing_left(vm)

    def test_ambiguous_points(self):
        _, access = self.small_vm()
        ids = [self.stillpoint.backup(access, expect=3)["point"] for _ in range(2)]
        prefix = os.path.commonprefix(ids)
        if len(prefix) >= 8:
            self.assertEqual(self.stillpoint.run("show", prefix[:8], expect=2).error,
                             "point.ambiguous")

    def test_vaults_that_cannot_be_opened(self):
        run = self.stillpoint.run
        missing = f"file://{self.place.folder}/missing"
        self.assertEqual(run("points", "--vault", missing, expect=1).error, "vault.missing")
        self.assertEqual(run("vault", "init", f"file://{self.stillpoint.vault}", "--encryption",
                             "none", expect=1).error, "vault.exists")
        other = self.stillpoint.folder / "other-key"
        other.write_text("0" * 64 + "\n")
        self.assertEqual(run("points", "--key-file", other, expect=1).error, "vault.wrong_key")
        other.write_text("not a key\n")
        self.assertEqual(run("points", "--key-file", other, expect=2).error, "vault.bad_key_file")
        self.assertEqual(run("points", "--vault", "ftp://x/y", expect=(1, 2)).error != "", True)

    def test_a_wrong_passphrase(self):
        secret = self.stillpoint.folder / "passphrase"
        secret.write_text("correct horse\n")
        vault = f"file://{self.place.folder}/pass-{Faults.number}"
        run = self.stillpoint.run
        run("vault", "init", vault, "--key-file", secret)
        run("points", "--vault", vault, "--key-file", secret)
        secret.write_text("battery staple\n")
        self.assertEqual(run("points", "--vault", vault, "--key-file", secret, expect=1).error,
                         "vault.wrong_key")

    def test_restore_never_overwrites(self):
        _, access = self.small_vm()
        point = self.stillpoint.backup(access, expect=3)["point"]
        folder = self.place.folder / f"twice-{Faults.number}"
        self.stillpoint.restore(point, folder)
        answer = self.stillpoint.run("restore", point, "--to", folder, "--format", "raw", expect=1)
        self.assertEqual(answer.error, "restore.exists")

    def test_a_vault_that_can_only_be_read(self):
        _, access = self.small_vm()
        run, vault = self.stillpoint.run, self.stillpoint.vault
        point = self.stillpoint.backup(access, expect=3)["point"]
        images.must("mount", "--bind", vault, vault)
        self.addCleanup(lambda: os.path.ismount(vault) and images.must("umount", vault))
        images.must("mount", "-o", "remount,ro,bind", vault)
        for refused in (("backup", *access), ("vault", "gc"), ("forget", point)):
            self.assertEqual(run(*refused, expect=1).error, "os.erofs", refused)
        self.assertEqual([row["point"] for row in run("points").json["points"]], [point])
        run("vault", "check", "--read-data")
        self.stillpoint.restore(point, self.place.folder / f"read-only-{Faults.number}")
        images.must("umount", vault)
        self.stillpoint.backup(access, expect=3)
        run("vault", "check", "--read-data")


class OddGuests(Faults):
    """Something answers on the port's socket that is no extension."""

    @contextlib.contextmanager
    def port(self, answer):
        path = self.place.folder / f"port-{Faults.number}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)

        def serve():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    answer(connection)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        listener.close()

    def crash_with(self, answer):
        disk = make_disk(self.place, f"o{Faults.number}", 16)
        vm = self.start(disk)
        vm.qmp("cont")
        with self.port(answer) as path:
            point = self.stillpoint.backup([*product.access_of(vm), "--guest-channel", path],
                                           expect=3)
            self.assertEqual(point["level"], "crash")
            self.assertTrue(point["warnings"][0]["code"])
            self.assert_nothing_left(vm)
            return point

    def test_silent(self):
        self.crash_with(lambda connection: connection.recv(1 << 20) and connection.recv(1 << 20))

    def test_closes_at_once(self):
        self.crash_with(lambda connection: None)

    def test_garbage(self):
        noise = random.Random(7).randbytes(1 << 16)
        self.crash_with(lambda connection: connection.sendall(noise))

    def test_megabytes_without_end(self):
        def flood(connection):
            block = b"SPF1" * 16384
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(block)
        self.crash_with(flood)

    def test_no_socket(self):
        disk = make_disk(self.place, f"o{Faults.number}", 16)
        vm = self.start(disk)
        vm.qmp("cont")
        point = self.stillpoint.backup([*product.access_of(vm), "--guest-channel", "/no/such.sock"],
                                       expect=3)
        self.assertEqual(point["level"], "crash")
        answer = self.stillpoint.run("guest", "status", *product.access_of(vm), expect=1)
        self.assertEqual(answer.error, "guest.no_channel")


class Damage(Faults):
    def test_flipped_missing_and_truncated(self):
        disk = make_disk(self.place, f"d{Faults.number}", 32)
        vm = self.start(disk)
        access = product.access_of(vm)
        noise = self.place.folder / "noise-d"
        noise.write_bytes(random.Random(3).randbytes(4 * MIB))
        noise.chmod(0o644)
        vm.io(disk.name, f"write -s {noise} 0 4M")
        point = self.stillpoint.backup(access, expect=3)["point"]
        url = f"file://{self.stillpoint.vault}"
        generator = random.Random(5)
        objects = [path for path in sorted(self.stillpoint.vault.rglob("*")) if path.is_file()]
        self.assertGreater(len(objects), 4)
        for path in objects:
            whole = path.read_bytes()
            spots = [generator.randrange(len(whole)) for _ in range(40 if LONG else 4)]
            damages = [("missing", None), ("truncated", whole[:-1])]
            damages += [(f"flipped at {at}", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
                        for at in spots]
            for what, content in damages:
                with self.subTest(object=str(path.relative_to(self.stillpoint.vault)), what=what):
                    path.unlink(missing_ok=True)
                    if content is not None:
                        path.write_bytes(content)
                    self.look(url, point, path)
            path.unlink(missing_ok=True)
            path.write_bytes(whole)
        self.assertTrue(self.stillpoint.run("vault", "check", url, "--read-data").json["ok"])

    def look(self, url, point, path):
        """Damage is said, or the vault needed nothing of what is damaged; never a wrong restore."""
        kind = path.relative_to(self.stillpoint.vault).parts[0]
        # A vault that cannot be opened is a failure that is no damage report.
        bad = (1, 4) if kind in ("config", "keys") else (4,)
        checked = self.stillpoint.run("vault", "check", url, "--read-data", expect=None)
        if kind == "copies" and not path.exists():
            self.assertEqual(checked.status, 0, "a point needs no copy")
        else:
            self.assertIn(checked.status, bad, checked)
        if kind == "points" and not path.exists():
            bad = (1,)  # there is no such point to restore
        folder = self.place.folder / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        restored = self.stillpoint.run("restore", point, "--to", folder, "--format", "raw",
                                       expect=None)
        self.assertIn(restored.status, (0, *bad), restored)
        if restored.status == 0:
            content = (self.place.folder / "noise-d").read_bytes()
            image = next(folder.glob("*.raw")).read_bytes()
            self.assertEqual(image[:len(content)], content)
            self.assertFalse(any(image[len(content):]))


class Killed(Faults):
    """kill -9 of `stillpoint` at any moment: nothing is left, and the next run is right."""

    def test_at_every_phase(self):
        disk = make_disk(self.place, f"x{Faults.number}", 128)
        vm = self.start(disk)
        access = product.access_of(vm)
        noise = self.place.folder / "noise-k"
        generator = random.Random(11)
        noise.write_bytes(generator.randbytes(16 * MIB))
        noise.chmod(0o644)
        vm.io(disk.name, f"write -s {noise} 0 16M")
        self.stillpoint.backup(access, expect=3)
        step, delay, ended = (0.01 if LONG else 0.06), 0.0, 0
        while ended < 2:
            vm.io(disk.name, f"write -s {noise} {generator.randrange(100)}M 16M")
            process = self.stillpoint.start("backup", *access, log="killed.log")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
            ended += process.poll() is not None
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assert_nothing_left(vm)
            self.assertLessEqual(len(vm.bitmaps(disk.name)), 2)
            delay += step
            if int(delay / step) % 5 == 0:
                self.check_next_run(vm, access)
        self.check_next_run(vm, access)

    def check_next_run(self, vm, access):
        Faults.number += 1
        picture = vm.picture(self.place.folder / f"p{Faults.number}")
        point = self.stillpoint.backup(access, expect=3)
        self.assert_restores(point["point"], picture)
        self.assertEqual(len(vm.bitmaps(vm.disks[0].name)), 1)
        self.assertTrue(self.stillpoint.run("vault", "check",
                                            f"file://{self.stillpoint.vault}").json["ok"])
        shutil.rmtree(self.place.folder / f"p{Faults.number}")

    def test_cancel(self):
        disk = make_disk(self.place, f"c{Faults.number}", 128)
        vm = self.start(disk)
        access = product.access_of(vm)
        for delay in (0.05, 0.2, 0.4):
            process = self.stillpoint.start("backup", *access, log="cancelled.log")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
            process.send_signal(signal.SIGTERM)
            self.assertIn(process.wait(15), (130, 3, -signal.SIGTERM))
            self.assert_nothing_left(vm, seconds=5)


if __name__ == "__main__":
    fault_case.main()
