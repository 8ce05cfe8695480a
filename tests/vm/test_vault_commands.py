#!/usr/bin/env python3
"""Commands about a vault and its points, as a user gives them: keys, differences, statistics.
Needs no VM: the disk is an image that nobody runs."""
import random
import shutil
import unittest

import images
import lab
import product

MIB = 1 << 20
CHUNK = 64 << 10


class VaultCommands(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.stillpoint = product.Stillpoint(self.place)
        self.disk = self.place.folder / "disk.raw"
        with open(self.disk, "wb") as file:
            file.truncate(32 * MIB)
        self.write(0, b"\1" * 4 * MIB)

    def write(self, offset, data):
        with open(self.disk, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def access(self):
        return ["box", "--image", f"vda=raw:{self.disk}"]

    def backup(self):
        return self.stillpoint.backup(self.access(), expect=3)["point"]

    def keys(self, *arguments, expect=0):
        url = self.stillpoint.environment["STILLPOINT_VAULT"]
        return self.stillpoint.run("vault", "key", *arguments[:1], url, *arguments[1:],
                                   expect=expect)

    def file(self, name, text):
        path = self.place.folder / name
        path.write_text(text + "\n")
        return path

    def prune(self, *options, expect=0):
        return self.stillpoint.run("prune", *options, expect=expect)

    def test_prune(self):
        self.stillpoint.init()
        points = []
        for number in range(4):
            self.write(0, bytes([number + 1]) * CHUNK)
            points.append(self.backup())
        self.assertEqual(self.prune(expect=1).error, "retention.no_rule")
        self.assertEqual(self.prune("nobody", "--keep-last", 1, expect=1).error, "point.not_found")
        told = self.prune("--keep-last", 2, "--dry-run").json
        self.assertEqual([point["point"] for point in told["forgotten"]], points[:2])
        self.assertEqual(told["kept"][-1]["reasons"], ["newest", "last"])
        listed = self.stillpoint.run("points").json["points"]
        self.assertEqual([point["point"] for point in listed], points)
        policy = self.file("policy.xml", '<host><retention zone="Mars"/></host>')
        self.assertEqual(self.prune("--policy", policy, expect=2).error, "config.invalid")
        policy = self.file("policy.xml", '<host><retention daily="9"/><vm name="box">'
                           '<retention last="3"/></vm></host>')
        self.assertEqual([point["point"] for point in self.prune("--policy", policy)
                          .json["forgotten"]], points[:1])
        self.prune("box", "--keep-last", 2)
        listed = self.stillpoint.run("points").json["points"]
        self.assertEqual([point["point"] for point in listed], points[2:])
        self.assertTrue(self.stillpoint.run("vault", "check",
                                            f"file://{self.stillpoint.vault}").json["ok"])

    def test_keys(self):
        first, second, third = (self.file(name, f"{name} passphrase") for name in
                                ("first", "second", "third"))
        self.stillpoint.environment["STILLPOINT_KEY_FILE"] = str(first)
        self.stillpoint.init("passphrase")
        point = self.backup()
        added = self.keys("add", "--new-key-file", second).json
        self.assertEqual(len(added["keys"]), 2)
        by_id = {key["id"]: key for key in added["keys"]}
        self.assertFalse(by_id[added["added"]]["opened"])
        self.assertEqual(by_id[added["added"]]["encryption"], "passphrase")
        own = next(key["id"] for key in added["keys"] if key["opened"])
        self.assertEqual(self.keys("remove", "--id", own, expect=1).error, "vault.key_in_use")
        self.assertEqual(self.keys("add", "--new-key-file", second, expect=2).error,
                         "vault.key_known")
        self.assertEqual(self.keys("add", expect=1).error, "vault.new_key_needed")
        rotated = self.keys("rotate", "--new-key-file", third).json
        self.assertEqual(rotated["removed"], own)
        self.assertEqual(self.keys("list", expect=1).error, "vault.wrong_key")
        self.stillpoint.environment["STILLPOINT_KEY_FILE"] = str(third)
        self.keys("remove", "--id", added["added"])
        self.assertEqual([key["id"] for key in self.keys("list").json["keys"]],
                         [rotated["added"]])
        restored = self.stillpoint.restore(point, self.place.folder / "restored")
        self.assertTrue(images.identical(restored["vda"], self.disk)[0])

    def test_check_without_the_key(self):
        self.stillpoint.init()
        self.backup()
        self.stillpoint.environment["STILLPOINT_KEY_FILE"] = ""
        refused = self.stillpoint.run("vault", "check", expect=1)
        self.assertEqual(refused.error, "vault.key_needed")
        self.assertIn("--without-key", refused.json["error"]["remedy"])
        packs = list((self.stillpoint.vault / "packs").glob("*/*"))
        sound = self.stillpoint.run("vault", "check", "--without-key").json
        self.assertEqual((sound["ok"], sound["without_key"], sound["packs"], sound["bytes_read"]),
                         (True, True, len(packs), sum(pack.stat().st_size for pack in packs)))
        self.assertIn("a pack is missing", sound["note"])
        data = bytearray(packs[0].read_bytes())
        data[len(data) // 2] ^= 1
        packs[0].chmod(0o600)
        packs[0].write_bytes(data)
        found = self.stillpoint.run("vault", "check", "--without-key", expect=4).json
        self.assertFalse(found["ok"])
        self.assertEqual([packs[0].name in damage["text"] for damage in found["damage"]], [True])
        shutil.rmtree(self.stillpoint.vault)
        self.assertEqual(self.stillpoint.run("vault", "check", "--without-key", expect=1).error,
                         "vault.missing")

    def test_a_new_raw_key_is_made(self):
        self.stillpoint.init()
        fresh = self.place.folder / "fresh-key"
        self.keys("rotate", "--new-key-file", fresh)
        self.assertEqual(fresh.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.keys("list", expect=1).error, "vault.wrong_key")
        self.stillpoint.environment["STILLPOINT_KEY_FILE"] = str(fresh)
        self.assertEqual(len(self.keys("list").json["keys"]), 1)

    def test_no_keys_without_encryption(self):
        self.stillpoint.environment["STILLPOINT_KEY_FILE"] = ""
        self.stillpoint.init("none")
        self.assertEqual(self.keys("list", expect=2).error, "vault.no_keys")

    def test_diff_and_stats(self):
        self.stillpoint.init()
        first = self.backup()
        self.write(2 * MIB, bytes(CHUNK))
        self.write(8 * MIB + 5, b"\2" * CHUNK)
        second = self.backup()
        found = self.stillpoint.run("points", "diff", first, "box@latest", "--extents").json
        self.assertEqual((found["before"], found["now"]), (first, second))
        disk, = [disk for disk in found["disks"] if disk["name"] == "vda"]
        self.assertEqual((disk["changed"], disk["zeroed"]), (3 * CHUNK, CHUNK))
        self.assertEqual(disk["extents"], [{"offset": 2 * MIB, "length": CHUNK},
                                           {"offset": 8 * MIB, "length": 2 * CHUNK}])
        same = self.stillpoint.run("points", "diff", second, second).json
        self.assertEqual([disk["changed"] for disk in same["disks"]], [0] * len(same["disks"]))
        self.assertEqual(len(self.stillpoint.run("points", "box").json["points"]), 2)
        plain = self.stillpoint.run("vault", "stats").json
        self.assertEqual((plain["points"], plain["dedupe_ratio"], plain["freed_bytes"]),
                         (2, None, None))
        whole = self.stillpoint.run("vault", "stats", "--read-maps", "--forget", second).json
        self.assertGreaterEqual(whole["data_bytes"], 8 * MIB)
        self.assertGreater(whole["dedupe_ratio"], 10)
        self.assertGreater(whole["freed_bytes"], 0)
        self.assertLess(whole["freed_bytes"], plain["stored_bytes"] / 2)

    def repair(self, *arguments, expect=0):
        url = self.stillpoint.environment["STILLPOINT_VAULT"]
        return self.stillpoint.run("vault", "repair", url, *arguments, expect=expect).json

    def test_repair(self):
        self.stillpoint.init()
        first = self.backup()
        shutil.copy(self.disk, self.place.folder / "first.raw")
        self.write(8 * MIB, b"\2" * CHUNK)
        second = self.backup()
        self.assertTrue(self.repair()["ok"])
        for lost in ("index", "points"):
            shutil.rmtree(self.stillpoint.vault / lost)
        self.stillpoint.run("vault", "check", expect=4)
        planned = self.repair("--dry-run")
        self.assertEqual(planned["recovered"], [first, second])
        self.assertGreater(planned["indexed_packs"], 0)
        self.assertFalse((self.stillpoint.vault / "points").exists())
        self.assertEqual(self.repair()["recovered"], [first, second])
        self.stillpoint.run("vault", "check", "--read-data")
        self.assertTrue(self.stillpoint.run("show", first).json["recovered"])
        self.stillpoint.run("points", "confirm", first)
        points = self.stillpoint.run("points").json["points"]
        self.assertEqual([point["recovered"] for point in points], [False, True])
        self.assertEqual(self.stillpoint.run("points", "confirm", first, expect=1).error,
                         "point.not_recovered")
        self.stillpoint.run("forget", second)
        self.stillpoint.run("vault", "gc")
        self.assertEqual(self.repair()["recovered"], [])
        restored = self.stillpoint.restore(first, self.place.folder / "restored")
        self.assertTrue(images.identical(restored["vda"], self.place.folder / "first.raw")[0])

    def test_a_damaged_point(self):
        """It is named wherever points are looked at, and none passes for it."""
        self.stillpoint.init()
        first, second = self.backup(), self.backup()
        path = self.stillpoint.vault / "points" / second
        data = bytearray(path.read_bytes())
        data[1000] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
        listed = self.stillpoint.run("points", expect=4).json
        self.assertEqual([point["point"] for point in listed["points"]], [first])
        self.assertEqual([point["point"] for point in listed["unreadable"]], [second])
        shown = self.stillpoint.text("points", expect=4)
        self.assertIn(f"{second}  CANNOT BE READ: ", shown)
        for name in ("box@latest", second[:31], second):
            self.assertEqual(self.stillpoint.run("show", name, expect=4).error, "point.damaged")
        stats = ("vault", "stats", "--forget", first)
        counted = self.stillpoint.run(*stats, expect=4).json
        self.assertEqual(counted["points"], 1)
        self.assertEqual([point["point"] for point in counted["unreadable"]], [second])
        self.assertIn("would free at most ", self.stillpoint.text(*stats, expect=4))
        prune = ("prune", "--keep-last", "1")
        pruned = self.stillpoint.run(*prune, expect=4).json
        self.assertEqual([point["point"] for point in pruned["kept"]], [first])
        self.assertEqual([point["point"] for point in pruned["unreadable"]], [second])
        for command in (stats, prune):
            shown = self.stillpoint.text(*command, expect=4)
            self.assertIn(f"{second}  CANNOT BE READ: ", shown)
        third = self.stillpoint.run("backup", *self.access(), expect=3)
        warned = [w for w in third.json["warnings"] if w["code"] == "point.unreadable"]
        self.assertEqual(len(warned), 1)
        self.assertIn(second, warned[0]["text"])
        self.stillpoint.run("forget", third.json["point"])
        self.stillpoint.restore(first, self.place.folder / "restored")
        self.assertEqual(self.repair()["rewritten"], [second])
        self.assertEqual(self.stillpoint.run("points").json["unreadable"], [])
        self.assertEqual(self.stillpoint.run("vault", "stats").json["unreadable"], [])
        self.assertEqual(self.stillpoint.run("show", "box@latest").json["point"], second)

    def test_forgetting_a_damaged_point(self):
        """As gc advises where neither the point nor its copy can be read."""
        self.stillpoint.init()
        point = self.backup()
        for folder in ("points", "copies"):
            path = self.stillpoint.vault / folder / point
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-1])
        self.assertEqual(self.stillpoint.run("vault", "gc", expect=4).error, "gc.damage")
        self.stillpoint.run("forget", point)
        self.stillpoint.run("vault", "gc")
        self.stillpoint.run("vault", "check")

    def test_repair_of_damaged_packs(self):
        self.stillpoint.init()
        point = self.backup()
        for pack in (self.stillpoint.vault / "packs").glob("*/*"):
            data = bytearray(pack.read_bytes())
            data[60] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)
        self.assertGreater(self.repair("--read-data", expect=4)["lost_chunks"], 0)
        self.stillpoint.run("vault", "check", expect=4)
        self.stillpoint.backup(["box", "--full", "--image", f"vda=raw:{self.disk}"], expect=3)
        self.stillpoint.run("vault", "gc")  # takes the damaged packs, which nobody needs now
        self.stillpoint.run("vault", "check", "--read-data")
        restored = self.stillpoint.restore(point, self.place.folder / "restored")
        self.assertTrue(images.identical(restored["vda"], self.disk)[0])

    def test_a_damaged_base(self):
        """Blocks that are stored as differences are as good as what they build on."""
        self.stillpoint.init()
        noise, end = 8 * MIB, 9 * MIB
        self.write(noise, random.Random(1).randbytes(end - noise))
        points = [self.backup()]
        base = max((self.stillpoint.vault / "packs").glob("*/*"), key=lambda p: p.stat().st_size)
        for number in (1, 2):
            for at in range(noise, end, CHUNK):
                self.write(at + 5, bytes([number]) * 40)
            before = self.stillpoint.run("vault", "stats").json["stored_bytes"]
            points.append(self.backup())
            stored = self.stillpoint.run("vault", "stats").json["stored_bytes"] - before
            self.assertLess(stored, (end - noise) / 8, "stored as differences")
        shutil.copy(self.disk, self.place.folder / "last.raw")
        data = bytearray(base.read_bytes())
        data[len(data) // 2] ^= 1
        base.chmod(0o600)
        base.write_bytes(data)

        found = self.stillpoint.run("vault", "check", "--read-data", expect=4).json["damage"]
        ranges = {point: [(damage["offset"], damage["length"]) for damage in found
                          if damage["point"] == point] for point in points}
        (offset, length), = ranges[points[0]]
        self.assertEqual(length, CHUNK)
        self.assertTrue(noise <= offset < end, offset)
        self.assertEqual(ranges, dict.fromkeys(points, [(offset, length)]))
        for point in points:
            refused = self.stillpoint.run("restore", point, "--to", self.place.folder / point,
                                          "--format", "raw", expect=4).json
            self.assertEqual([(damage["offset"], damage["length"])
                              for damage in refused["damage"]], [(offset, length)])

        self.assertEqual(self.repair("--read-data", expect=4)["lost_chunks"], 1)
        points.append(self.stillpoint.backup(["box", "--full", "--image", f"vda=raw:{self.disk}"],
                                             expect=3)["point"])
        # What the disk is now is whole again; what it was before is not, and is named.
        left = self.stillpoint.run("vault", "check", "--read-data", expect=4).json["damage"]
        self.assertEqual({damage["point"] for damage in left if damage["point"]}, set(points[:2]))
        for point in points[2:]:
            restored = self.stillpoint.restore(point, self.place.folder / f"whole-{point}")
            self.assertTrue(images.identical(restored["vda"], self.place.folder / "last.raw")[0])
        self.stillpoint.run("forget", *points[:2])
        self.stillpoint.run("vault", "gc")
        self.stillpoint.run("vault", "check", "--read-data")


if __name__ == "__main__":
    lab.enter()
    unittest.main(verbosity=2)
