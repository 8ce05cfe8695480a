#!/usr/bin/env python3
"""What goes wrong between the host, the Windows extension and VSS: who dies, comes late, is taken
or calls out of order. End to end as test_backup.py.

    test_lifecycle.py [Lifecycle]
"""
import re
import time

import windows_case
from windows_guest import lab

LONG = lab.length() == "long"
IN_USE = "call StartSnapshotSet result=0x80042316"

# Every message of one backup, in its order.
MESSAGES = ["Hello", "Welcome", "Prepare", "Prepared", "Freeze", "Frozen", "Thaw", "Thawed",
            "Finish", "Finished", "Complete", "Completed"]
KILLED_AT = MESSAGES if LONG else ["Prepared", "Frozen", "Complete"]

# How VSS's double departs from the order in which a provider is called.
OUT_OF_ORDER = ["other-set", "again", "unprepared", "aborted"]


class Lifecycle(windows_case.WindowsCase):
    def assert_in_order(self, guest):
        self.assertEqual([call for call in guest.calls() if "ORDER" in call], [])

    def test_another_programs_snapshot_is_waited_for_and_a_lost_registration_put_right(self):
        times = 3 if LONG else 1
        guest = self.start(f"{IN_USE} times={times}\n"
                           "call AddToSnapshotSet result=0x80042304 times=1\n")
        self.assert_level("application", self.backup(), guest)
        # Each attempt is an object of its own, given back before the next.
        objects = [call for call in guest.calls() if call in ("Create", "Release")]
        self.assertEqual(objects, ["Create", "Release"] * (times + 2))
        # At the start and for that attempt; Wine has no VSS that could take it.
        self.assertEqual(len(re.findall("warning: (?:VSSCoordinator|the service VSS)",
                                        guest.log())), 2, guest.log())
        self.assert_in_order(guest)

    def test_another_programs_snapshot_that_never_ends_is_given_up(self):
        self.use_host(hooks_seconds=12 if LONG else 1, retries=0)
        guest = self.start(f"{IN_USE}\n")
        point = self.backup()
        self.assert_level("crash", point, guest)
        self.assertIn("vss.in_use", self.warnings_of(point))
        objects = [call for call in guest.calls() if call in ("Create", "Release")]
        self.assertEqual(objects, ["Create", "Release"] * (3 if LONG else 1))
        self.assertNotIn("DoSnapshotSet", guest.calls())
        refused = self.host.run("backup", *self.access(), "--require", "filesystem", expect=1)
        self.assertEqual(refused.error, "backup.level")

    def test_what_may_do_better_soon_is_tried_again_as_a_whole(self):
        self.use_host(retries=1)
        guest = self.start("call DoSnapshotSet async=0x80042314 times=1\n")
        point = self.backup("--require", "application")
        self.assert_level("application", point, guest)
        calls = guest.calls()
        self.assertEqual(calls.count("DoSnapshotSet"), 2)
        self.assertEqual(calls.count("BackupComplete"), 1)
        self.assertEqual(len(self.host.run("points").json["points"]), 1)

        # Not for ever, and never below what is required without a word.
        guest.end()
        guest = self.start('writer "SqlServerWriter" DoSnapshotSet=9,0x800423f2\n')
        refused = self.host.run("backup", *self.access(), "--require", "application", expect=1)
        self.assertEqual(refused.error, "backup.level")
        self.assertEqual(guest.calls().count("DoSnapshotSet"), 2)
        self.assertNotIn("BackupComplete", guest.calls())
        self.assertEqual(len(self.host.run("points").json["points"]), 1)

    def test_the_thaw_of_an_earlier_backup_ends_no_later_hold(self):
        guest = self.start()
        late = []
        self.relay.at["Thaw"] = late.append
        self.assert_level("application", self.backup(), guest)
        # Between the second Frozen and its snapshot: the first backup's Thaw once more.
        ended_before = []

        def own_thaw(_):
            deadline = lab.Deadline(1)  # a hold that has ended shows by then
            while not deadline.passed() and len(self.holds(guest)) == 1:
                time.sleep(0.02)
            ended_before.append(len(self.holds(guest)))

        self.relay.at = {"Frozen": lambda _: self.relay.say(late[0]), "Thaw": own_thaw}
        point = self.backup()
        self.assertEqual(ended_before, [1], guest.calls())
        self.assert_level("application", point, guest)
        self.assertEqual([how for how, _ in self.holds(guest)], ["0x00000000"] * 2)

    def test_a_host_that_is_killed_while_writes_are_held(self):
        self.use_host(freeze_seconds=9 if LONG else 1)
        guest = self.start()
        before = self.vm.leftovers()
        host = self.host.start("backup", *self.access(), log="killed.log")
        self.relay.at["Frozen"] = lambda _: host.kill()
        # Nobody says thaw: the provider lets go by itself, with a veto.
        guest.await_call("CommitSnapshots 0x80042306")
        self.assertLess(self.holds(guest)[0][1], 8000)
        host.wait(20)
        self.assertEqual(self.host.run("points").json["points"], [])
        deadline = lab.Deadline(20)
        while self.vm.leftovers() != before and not deadline.passed():
            pass
        self.assertEqual(self.vm.leftovers(), before)
        self.assert_level("application", self.backup(), guest)
        # The first backup was aborted before the second began.
        calls = guest.calls()
        self.assertEqual(calls.count("BackupComplete"), 1)
        self.assertLess(calls.index("AbortBackup"), len(calls) - calls[::-1].index("Create"))
        self.assert_in_order(guest)

    def test_a_guest_that_is_killed_between_any_two_messages(self):
        """As TerminateProcess: nothing of it is owed to anybody, and the next one works."""
        guest = self.start()
        for message in KILLED_AT:
            with self.subTest(killed_at=message):
                before = guest.calls().count("BackupComplete")
                self.relay.at[message] = lambda _, doomed=guest: self.kill(doomed)
                point = self.backup()
                self.assertNotIn(message, self.relay.at)
                proven = MESSAGES.index(message) >= MESSAGES.index("Thawed")
                self.assert_level("application" if proven else "crash", point, guest)
                # Logs are truncated only where the host's word had arrived.
                completed = guest.calls().count("BackupComplete") - before
                self.assertEqual(completed, message == "Completed", guest.calls())
                guest = self.start()
                self.assert_level("application", self.backup(), guest)
                self.assert_in_order(guest)

    def kill(self, guest):
        guest.await_start()
        guest.end()
        self.relay.hung_up = True

    def test_a_provider_that_is_called_out_of_order_vetoes(self):
        for departure in OUT_OF_ORDER if LONG else OUT_OF_ORDER[:2]:
            with self.subTest(departure=departure):
                guest = self.start(f"call {departure} result=1 times=1\n")
                point = self.backup()
                self.assert_level("crash", point, guest)
                self.assertEqual(self.holds(guest)[-1][0], "0x80042306", guest.calls())
                self.assertNotIn("BackupComplete", guest.calls())
                self.assert_level("application", self.backup(), guest)
                guest.end()


if __name__ == "__main__":
    windows_case.main()
