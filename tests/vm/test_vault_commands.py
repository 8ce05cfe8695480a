#!/usr/bin/env python3
"""Commands about a vault and its points, as a user gives them: keys, differences, statistics.
Needs no VM: the disk is an image that nobody runs."""
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

    def backup(self):
        return self.stillpoint.backup(["box", "--image", f"vda=raw:{self.disk}"], expect=3)["point"]

    def keys(self, *arguments, expect=0):
        url = self.stillpoint.environment["STILLPOINT_VAULT"]
        return self.stillpoint.run("vault", "key", *arguments[:1], url, *arguments[1:],
                                   expect=expect)

    def file(self, name, text):
        path = self.place.folder / name
        path.write_text(text + "\n")
        return path

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


if __name__ == "__main__":
    lab.enter()
    unittest.main(verbosity=2)
