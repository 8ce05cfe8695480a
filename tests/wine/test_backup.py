#!/usr/bin/env python3
"""The Windows extension end to end: the shipped program under Wine, the host's real plugin, a real
QEMU disk; VSS is played by a double.

    test_backup.py [Backups]
"""
import shutil

import windows_case
import windows_guest

WRITERS = ["Registry Writer", "SqlServerWriter", "System Writer"]
NAMED = "".join(f'writer "{name}"\n' for name in WRITERS[::2])


class Backups(windows_case.WindowsCase):
    def test_three_writers_are_application(self):
        guest = self.start()
        point = self.backup()
        self.assert_level("application", point, guest)
        writers = self.writers_of(point)
        self.assertEqual(sorted(writers), WRITERS)
        self.assertTrue(all(writer["quiesced"] for writer in writers.values()), writers)
        self.assertTrue(any(e["kind"] == "filesystem" and e["name"] == "C:\\" and e["quiesced"]
                            for e in point["evidence"]), point["evidence"])
        self.assertLess(point["frozen_ms"], 5000)
        calls = guest.calls()
        self.assertIn("SetBackupState components=1 type=full", calls)
        self.assertEqual([call for call in calls if "ORDER" in call], [])
        # The second phase: the writers hear of success after the point is durable, once.
        self.assertEqual(calls.count("BackupComplete"), 1, calls)
        self.assertEqual(calls.count("SetBackupSucceeded SqlServerWriter yes"), 1)
        self.host.run("restore", point["point"], "--to", self.place.folder / "out")

        # The other type, by the host's request.
        self.backup("--type", "copy")
        self.assertIn("SetBackupState components=1 type=copy", guest.calls())

    def test_the_host_has_it_examined(self):
        guest = self.start(NAMED + 'writer "SqlServerWriter" GatherWriterMetadata=9,0x800423f2\n')
        answer = self.host.run("guest", "doctor", *self.access(), expect=3).json
        found = {(f["id"], f["object"]): f for f in answer["findings"]}
        self.assertEqual(found["doctor.channel", "org.stillpoint.guest.0"]["severity"], "ok")
        sql = found["doctor.writer", "SqlServerWriter"]
        self.assertEqual((sql["severity"], sql["remedy"]),
                         ("warning", "restart the Windows service SQLWriter"))
        self.assertEqual(found["doctor.writer", "System Writer"]["severity"], "ok")
        self.assertIn("C:\\", [mount["name"] for mount in answer["mounts"]])
        self.assertNotIn("StartSnapshotSet", guest.calls())
        # What it changed here; Wine's registry keeps it.
        changes = self.host.run("guest", "status", *self.access()).json["changes"]
        self.assertTrue(any("event log" in change for change in changes), changes)

    def test_a_writer_that_fails_in_its_freeze_is_named(self):
        guest = self.start(NAMED + 'writer "SqlServerWriter" DoSnapshotSet=9,0x800423f4\n'
                           'call SetBackupSucceeded result=0x80042308 times=1\n')
        point = self.backup()
        self.assert_level("filesystem", point, guest)
        sql = self.writers_of(point)["SqlServerWriter"]
        self.assertFalse(sql["quiesced"])
        self.assertRegex(sql["note"], "FAILED_AT_FREEZE, VSS_E_WRITERERROR_NONRETRYABLE "
                                      "0x800423f4.*SQLWriter")
        self.assertIn("writer.failed", [warning["code"] for warning in point["warnings"]])
        # Its logs are not to be truncated, those of the others are: also where VSS does not take
        # the word about one of them.
        told = [call for call in guest.calls() if call.startswith("SetBackupSucceeded")]
        self.assertEqual([call.removeprefix("SetBackupSucceeded ") for call in told],
                         ["Registry Writer yes", "System Writer yes", "SqlServerWriter no"])
        self.assertIn("BackupComplete", guest.calls())
        self.assertIn("writer.end_failed", [warning["code"] for warning in point["warnings"]])

    def test_a_hold_that_windows_broke_is_crash(self):
        guest = self.start("call CommitSnapshots result=0x80042314\n")
        point = self.backup()
        self.assert_level("crash", point, guest)
        self.assertIn("AbortBackup", guest.calls())
        self.assertNotIn("BackupComplete", guest.calls())

    def test_writers_out_of_reach_are_given_up_for_the_filesystem(self):
        self.use_host(hooks_seconds=1)  # half of it is waited for them
        guest = self.start("call PrepareForBackup async=0x80042318\n")
        point = self.backup()
        self.assert_level("filesystem", point, guest)
        self.assertIn("0x80042318", self.writers_of(point)["VSS writers"]["note"])

    def test_a_library_beside_the_program_is_not_loaded(self):
        windows_guest.remove_double()
        planted = self.place.folder / "planted"
        planted.mkdir()
        build = windows_guest.build_folder()
        program = shutil.copy(build / "guest-windows/stillpoint-guest.exe", planted)
        shutil.copy(build / "tests/wine/vssapi.dll", planted)
        guest = self.start(program=program)
        point = self.backup()
        self.assert_level("crash", point, guest)
        self.assertTrue(any("vss.unavailable" in warning["text"] for warning in point["warnings"]),
                        point["warnings"])
        self.assertEqual(guest.calls(), [])

    def test_a_host_that_never_says_thaw_holds_for_less_than_8_seconds(self):
        guest = self.start()
        # The host would allow more than the guest does; its Thaw is lost on the way.
        self.use_host(freeze_seconds=9)
        self.relay.lost = {"Thaw"}
        point = self.backup()
        self.assert_level("crash", point, guest)
        (_, held_ms), = self.holds(guest)
        self.assertLess(held_ms, 8000)
        self.assertGreater(held_ms, 7000)
        self.assertNotIn("BackupComplete", guest.calls())


if __name__ == "__main__":
    windows_case.main()
