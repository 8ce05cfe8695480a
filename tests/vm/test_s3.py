#!/usr/bin/env python3
"""A vault in an object store: a real Ceph RADOS gateway, with powered-off images as the VMs.

    test_s3.py CONTRACT-PROGRAM CLOCK-LIBRARY
"""
import json
import os
import pathlib
import random
import select
import shutil
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
# pylint: disable=wrong-import-position
import delaying_proxy  # noqa: E402
import gateway
import images
import lab
import product

MIB = images.MIB
SECRETS = (gateway.SECRET, gateway.WRITER_SECRET)


def policy(bucket):
    """@return that the second user may read and add, and the owner everything, as JSON: in Ceph an
    object belongs to whoever put it, not to the bucket's owner"""
    def may(user, *actions):
        return {"Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam:::user/{user}"]},
                "Action": list(actions),
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [
        may("writer", "s3:ListBucket", "s3:GetObject", "s3:PutObject"), may("owner", "s3:*")]})


class S3(unittest.TestCase):
    number = 0

    def setUp(self):
        S3.number += 1
        self.place = self.enterContext(lab.Lab())
        self.bucket = f"bucket{S3.number}"
        self.url = f"s3://{self.bucket}/vaults/one"
        self.stillpoint = self.product()

    def product(self, *, configuration="", **environment):
        return product.Stillpoint(self.place, configuration=configuration, environment=
                                  GATEWAY.environment(STILLPOINT_VAULT=self.url, **environment))

    def init(self):
        GATEWAY.make_bucket(self.bucket)
        self.stillpoint.run("vault", "init", self.url, "--encryption", "keyfile")

    def image(self, name, mib, *, seed):
        """@return the path of a raw image with noise that a seed decides"""
        path = self.place.vm_folder("images") / f"{name}.raw"
        path.write_bytes(random.Random(seed).randbytes(mib * MIB))
        lab.qemu_owns(path)
        return path

    @staticmethod
    def access(path):
        return [path.stem, "--image", f"vda=raw:{path}"]

    def backup(self, path, stillpoint=None):
        return (stillpoint or self.stillpoint).backup(self.access(path), expect=(0, 3))

    def assert_restores(self, point, path):
        S3.number += 1
        restored = self.stillpoint.restore(point["point"], self.place.folder / f"r{S3.number}")
        self.assertTrue(images.identical(path, restored["vda"])[0])

    def assert_clean(self):
        self.assertTrue(self.stillpoint.run("vault", "check", self.url, "--read-data").json["ok"])

    def wait_for_packs(self, count, process):
        """Until a running backup has put that many packs."""
        deadline = lab.Deadline(60)
        while GATEWAY.keys(self.bucket, "vaults/one/packs/") < count:
            self.assertIsNone(process.poll(), "the backup has ended")
            self.assertFalse(deadline.passed())
            select.select([], [], [], 0.05)

    def log_of(self, name):
        return (self.place.folder / name).read_text()


class Contract(S3):
    def test_what_every_store_must_do(self):
        GATEWAY.make_bucket(self.bucket)
        environment = os.environ | GATEWAY.environment(STILLPOINT_S3_BUCKET=self.bucket)
        done = subprocess.run([CONTRACT], env=environment, check=False, timeout=120)
        self.assertEqual(done.returncode, 0)


class Life(S3):
    def test_a_whole_life(self):
        self.init()
        path = self.image("web1", 24, seed=1)
        first = self.backup(path)
        self.assertEqual(first["disks"][0]["mode"], "full")
        self.assert_restores(first, path)
        with open(path, "r+b") as image:
            image.seek(3 * MIB)
            image.write(random.Random(2).randbytes(2 * MIB))
        second = self.backup(path)
        self.assertEqual(second["disks"][0]["shipped"], 2 * MIB)
        self.assert_restores(second, path)
        run = self.stillpoint.run
        self.assertEqual(len(run("points").json["points"]), 2)
        self.assertEqual(run("show", "web1@latest").json["point"], second["point"])
        self.assert_clean()
        run("forget", first["point"], second["point"])
        freed = run("vault", "gc", self.url).json
        self.assertGreater(freed["freed_bytes"], 24 * MIB)
        self.assertEqual(GATEWAY.keys(self.bucket, "vaults/one/packs/"), 0)
        third = self.backup(path)
        self.assert_restores(third, path)
        self.assert_clean()
        self.assertEqual(run("vault", "init", self.url, "--encryption", "none", expect=1).error,
                         "vault.exists")

    def test_tls_and_addressing_in_the_url(self):
        self.init()
        url = f"{self.url}?endpoint={GATEWAY.tls_url}&region=somewhere&addressing=path"
        refused = self.stillpoint.run("points", "--vault", url, expect=1)
        self.assertEqual(refused.error, "s3.tls")
        self.assertIn("AWS_CA_BUNDLE", refused.json["error"]["remedy"])
        trusting = self.product(AWS_CA_BUNDLE=str(GATEWAY.authority))
        self.assertEqual(trusting.run("points", "--vault", url).json["points"], [])
        configured = self.product(configuration=f'<s3 ca="{GATEWAY.authority}"/>')
        self.assertEqual(configured.run("points", "--vault", url).json["points"], [])


class Moved(S3):
    """Objects may be copied between stores with any tool. So blocks that are stored as differences
    come to an object store, where none are made."""

    def change_pages(self, path, seed):
        """As a database writes: pages of 4 KiB here and there."""
        dice = random.Random(seed)
        with open(path, "r+b") as image:
            for page in dice.sample(range(path.stat().st_size // 4096), 24):
                image.seek(page * 4096)
                image.write(dice.randbytes(4096))

    def test_differences_move_from_a_folder_and_are_built_on(self):
        GATEWAY.make_bucket(self.bucket)
        local = product.Stillpoint(self.place, vault="local")
        local.init()
        path = self.image("db", 6, seed=10)
        first = self.backup(path, local)
        self.change_pages(path, 11)
        second = self.backup(path, local)
        self.assertLess(second["disks"][0]["stored"], second["disks"][0]["shipped"] / 4)
        for file in filter(pathlib.Path.is_file, local.vault.rglob("*")):
            GATEWAY.request("PUT", f"/{self.bucket}/vaults/one/{file.relative_to(local.vault)}",
                            "--data-binary", f"@{file}")
        self.assert_restores(second, path)
        self.change_pages(path, 12)
        third = self.backup(path)  # whole blocks; map nodes that differ from those of before
        self.stillpoint.run("forget", first["point"])
        self.stillpoint.run("vault", "gc", self.url)
        self.assert_clean()
        self.assert_restores(third, path)


class Killed(S3):
    def test_the_gateway_dies_and_comes_back(self):
        self.init()
        path = self.image("big", 128, seed=3)
        process = self.stillpoint.start("backup", *self.access(path), "--bandwidth", "24MiB",
                                        log="backup.log")
        self.wait_for_packs(1, process)
        GATEWAY.kill()
        # Once it is back it answers one request at a time, and the others with 503 SlowDown.
        GATEWAY.start("--rgw-max-concurrent-requests=1")
        self.addCleanup(GATEWAY.start)
        self.addCleanup(GATEWAY.kill)
        self.assertIn(process.wait(120), (0, 3), self.log_of("backup.log"))
        checks = [self.stillpoint.start("vault", "check", self.url, "--read-data", log="check.log")
                  for _ in range(2)]
        self.assertEqual([check.wait(60) for check in checks], [0, 0], self.log_of("check.log"))
        self.assertGreater(GATEWAY.log().count("HTTP/1.1\" 503 "), 0)
        self.assert_restores(self.stillpoint.run("show", "big@latest").json, path)

    def test_the_gateway_stays_away(self):
        self.init()
        self.stillpoint = self.product(configuration='<vault stall="5s"/>')
        path = self.image("big", 96, seed=4)
        process = self.stillpoint.start("backup", *self.access(path), "--bandwidth", "24MiB",
                                        log="backup.log")
        self.wait_for_packs(1, process)
        GATEWAY.kill()
        self.assertEqual(process.wait(60), 1)
        self.assertIn("vault.store_stalled", self.log_of("backup.log"))
        away = self.stillpoint.run("points", expect=1)
        self.assertEqual(away.error, "s3.unreachable")
        GATEWAY.start()
        self.assertEqual(self.stillpoint.run("points").json["points"], [])
        self.assert_restores(self.backup(path), path)
        self.assert_clean()


class Several(S3):
    def test_three_processes_write_at_once(self):
        self.init()
        paths = [self.image(f"vm{n}", 24, seed=n) for n in range(3)]
        shared = self.image("shared", 8, seed=9).read_bytes()
        for path in paths:
            with open(path, "ab") as image:
                image.write(shared)
        running = [self.stillpoint.start("backup", *self.access(path), log=f"{path.stem}.log")
                   for path in paths]
        for process, path in zip(running, paths):
            self.assertIn(process.wait(120), (0, 3), self.log_of(f"{path.stem}.log"))
        for path in paths:
            self.assert_restores(self.stillpoint.run("show", f"{path.stem}@latest").json, path)
        self.stillpoint.run("vault", "gc", self.url)
        self.assert_clean()

    def test_a_writer_that_may_only_add(self):
        GATEWAY.make_bucket(self.bucket, policy(self.bucket))
        self.stillpoint.run("vault", "init", self.url, "--encryption", "keyfile")
        writer = self.product(AWS_ACCESS_KEY_ID=gateway.WRITER_KEY,
                              AWS_SECRET_ACCESS_KEY=gateway.WRITER_SECRET)
        path = self.image("web1", 8, seed=5)
        self.backup(path, writer)
        point = self.backup(path, writer)
        refused = writer.run("forget", point["point"], expect=1)
        self.assertEqual(refused.error, "s3.denied")
        self.assertIn("docs/stores.md", refused.json["error"]["remedy"])
        self.assertEqual(writer.run("vault", "check", self.url, "--read-data").status, 0)
        self.stillpoint.run("vault", "gc", self.url)
        # Its claim stays, as it can remove nothing; so it comes last.
        kept = GATEWAY.keys(self.bucket, "vaults/one/packs/")
        writer.run("vault", "gc", self.url, expect=(0, 1))
        self.assertEqual(GATEWAY.keys(self.bucket, "vaults/one/packs/"), kept)
        self.assertEqual(self.stillpoint.run("vault", "gc", self.url, expect=1).error, "gc.running")
        self.assert_restores(point, path)
        self.assert_clean()


class ObjectLock(S3):
    """What Ceph says of retentions; docs/stores.md."""

    def test_versions_without_conditional_writes_are_refused(self):
        # Ceph 16.2 takes a conditional put for unconditional where a bucket has versions, and a
        # lock needs versions. gc could not rely on names there.
        GATEWAY.make_bucket(self.bucket, lock=True)
        refused = self.stillpoint.run("vault", "init", self.url + "?lock=1d", "--encryption",
                                      "none", expect=1)
        self.assertEqual(refused.error, "vault.store_unsafe")

    def test_a_bucket_without_lock_is_refused(self):
        GATEWAY.make_bucket(self.bucket)
        refused = self.stillpoint.run("vault", "init", self.url + "?lock=1d", "--encryption",
                                      "none", expect=1)
        self.assertEqual(refused.error, "s3.no_lock")


class Cache(S3):
    def test_a_second_look_asks_for_little(self):
        self.init()
        path = self.image("web1", 16, seed=8)
        with delaying_proxy.DelayingProxy(gateway.PORT, 0) as proxy:
            near = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}

            def asked(stillpoint, *words):
                before = len(proxy.requests)
                answer = stillpoint.run(*words, expect=(0, 3))
                return answer.json, len(proxy.requests) - before

            without = self.product(configuration='<cache size="none"/>', **near)
            plain = [asked(without, "backup", *self.access(path))[0]["point"] for _ in range(6)]
            points, many = asked(without, "points")
            cached = self.product(**near)
            self.assertEqual(asked(cached, "points")[0], points)
            again, few = asked(cached, "points")
            self.assertEqual(again, points)
            # Each point costs a request, and so does what there is of the index.
            self.assertGreater(many - few, len(plain))
            folder = cached.folder / "cache"
            pieces = [piece for piece in folder.rglob("*") if piece.is_file()]
            self.assertGreaterEqual(len(pieces), len(plain))
            for piece in pieces:  # rubbish costs a second look, and nothing else
                piece.write_bytes(bytes(piece.stat().st_size))
            self.assertEqual(asked(cached, "points")[0], points)
            self.assertEqual(asked(cached, "points")[1], few)
            self.stillpoint.run("forget", plain[0])
            left, _ = asked(cached, "points")
            self.assertEqual([point["point"] for point in left["points"]], plain[1:])
            shutil.rmtree(folder)
            last, _ = asked(cached, "backup", *self.access(path))
        self.assert_restores(last, path)
        self.assert_clean()


class Refused(S3):
    def test_what_is_wrong_is_said_without_secrets(self):
        self.init()
        nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        for code, status, more, url in (
                ("s3.no_credentials", 1, nobody, self.url),
                ("s3.bad_credentials", 1, {"AWS_SECRET_ACCESS_KEY": SECRETS[1]}, self.url),
                ("s3.bad_credentials", 1, {"AWS_ACCESS_KEY_ID": "unknown"}, self.url),
                ("s3.denied", 1, {"AWS_ACCESS_KEY_ID": gateway.WRITER_KEY,
                                  "AWS_SECRET_ACCESS_KEY": SECRETS[1]}, self.url),
                ("s3.no_bucket", 1, {}, "s3://missing/x"),
                ("vault.missing", 1, {}, f"s3://{self.bucket}/other"),
                ("s3.url", 2, {}, f"s3://KEY:{SECRETS[0]}@{self.bucket}/x")):
            with self.subTest(code=code, url=url):
                answer = self.product(**more).run("-v", "points", "--vault", url, expect=status)
                self.assertEqual(answer.error, code)
                self.assertTrue(answer.json["error"]["remedy"])
                for secret in SECRETS:
                    self.assertNotIn(secret, json.dumps(answer.json) + answer.log)

    def test_a_wrong_clock_is_named(self):
        self.init()
        clock = self.place.folder / "clock"
        clock.write_bytes(struct.pack("<q", 40 * 60 * 10**9))
        late = self.product(LD_PRELOAD=CLOCK_LIBRARY, STILLPOINT_TEST_CLOCK=str(clock))
        refused = late.run("points", expect=1)
        self.assertEqual(refused.error, "s3.clock_skew")
        self.assertRegex(refused.json["error"]["text"], "24[0-9][0-9] s ahead of the store's")

    def test_credentials_from_a_file_and_from_a_command(self):
        self.init()
        nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        lines = f"aws_access_key_id={gateway.KEY}\naws_secret_access_key={gateway.SECRET}\n"
        file = self.place.folder / "credentials"
        file.write_text(lines)
        file.chmod(0o600)
        for configuration in (f'<s3 credentials="{file}"/>',
                              f'<s3 credentials-command="cat {file}"/>'):
            stillpoint = self.product(configuration=configuration, **nobody)
            self.assertEqual(stillpoint.run("points").json["points"], [])
        file.chmod(0o644)
        stillpoint = self.product(configuration=f'<s3 credentials="{file}"/>', **nobody)
        self.assertEqual(stillpoint.run("points", expect=1).error, "s3.credentials_open")


if __name__ == "__main__":
    CONTRACT, CLOCK_LIBRARY = sys.argv[1:3]
    del sys.argv[1:3]
    if missing := [name for name in gateway.PROGRAMS if not shutil.which(name)]:
        lab.skip(f"no {', '.join(missing)}: packaging/install-deps.sh installs them")
    sys.argv[1:1] = CONTRACT, CLOCK_LIBRARY  # for the same program, run again inside
    lab.enter()
    del sys.argv[1:3]
    with lab.Lab() as PLACE:
        GATEWAY = gateway.Gateway(PLACE)
        unittest.main(verbosity=2)
