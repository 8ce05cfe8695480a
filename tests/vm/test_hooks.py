#!/usr/bin/env python3
"""Hooks in a real guest: how they may end, what they may leave behind, what a kill or a power cut
owes them, what an unprivileged user can try, and what a backup makes of all that."""
import threading
import time
import unittest

import guest_packages
import product
import writing_guest
from hook_case import HOOKS, HookCase, files_of
from hook_trust import TrustOfHooks
from test_guest import bodies, talk


class HookMatrix(TrustOfHooks, HookCase):
    def test_order_and_environment(self):
        self.hook("20-b", "[ -d $STILLPOINT_STATE_DIR ] && env >$STILLPOINT_STATE_DIR/env",
                  "cat $STILLPOINT_STATE_DIR/env >/run/env")
        self.hook("10-a")
        said = self.session("freeze", "thaw", "finish")
        self.assertTrue(said["Welcome"]["hooks_configured"])
        self.assertEqual([(e["name"], e["type"], e["quiesced"], e["executions"])
                          for e in said["Prepared"]["evidence"]],
                         [("10-a", "pre", True, 1), ("20-b", "pre", True, 1)])
        self.assertTrue(said["Thawed"]["held"])
        self.assertEqual([e["name"] for e in said["Finished"]["evidence"]], ["20-b", "10-a"])
        self.assertEqual(self.record(), ["pre", "pre", "post-success", "post-success"])
        seen = dict(line.split("=", 1) for line in self.vm.run("cat /run/env").splitlines())
        self.assertEqual(seen["STILLPOINT_HOOK_DIR"], f"{HOOKS}/20-b")
        self.assertLessEqual(set(seen), {"PATH", "STILLPOINT_PHASE", "STILLPOINT_JOB",
                                         "STILLPOINT_HOOK_DIR", "STILLPOINT_STATE_DIR",
                                         "PWD", "SHLVL", "_", "OLDPWD"})
        self.vm.run("! ls /run/stillpoint/hooks/20-b")

    def test_every_way_to_fail(self):
        for body, note in (("echo no database >&2; exit 7", "exit code 7: no database"),
                           ("kill -SEGV $$", "killed by signal 11"),
                           ("kill -9 $$", "killed by signal 9")):
            with self.subTest(body=body):
                self.setUp()
                self.hook("10-a", body)
                evidence = self.pre_evidence()
                self.assertFalse(evidence["quiesced"])
                self.assertEqual((evidence["note"], evidence["executions"]), (note, 1))
                self.assertEqual(self.record(), ["pre", "abort-aborted"])

    def test_what_cannot_be_executed_is_owed_nothing(self):
        for change in ("chmod 644 pre", "echo '#!/nonexistent/sh' >pre", ": >pre; rm pre"):
            with self.subTest(change=change):
                self.setUp()
                self.hook()
                self.vm.run(f"cd {HOOKS}/10-a && {change}")
                evidence = self.pre_evidence()
                self.assertEqual((evidence["quiesced"], evidence["executions"]), (False, 0))
                self.assertTrue(evidence["note"].startswith("not started: "), evidence)
                self.assertEqual(self.record(), [])
                self.vm.run("! ls /var/lib/stillpoint/hooks.journal")

    def test_ten_megabytes_on_both_streams(self):
        self.hook("10-a", "head -c 10485760 /dev/zero | tr '\\0' x; "
                          "head -c 10485760 /dev/zero | tr '\\0' y >&2; exit 3",
                  pre_attributes="timeout='50s'")
        evidence = self.pre_evidence()
        self.assertTrue(evidence["note"].startswith("exit code 3: yyy"), evidence["note"])

    def test_a_daemon_that_keeps_the_output_open(self):
        self.hook("10-a", "setsid sleep 1000 &")
        begun = time.monotonic()
        said = self.session("ping", "finish")
        self.assertLess(time.monotonic() - begun, 15)
        self.assertTrue(said["Prepared"]["evidence"][0]["quiesced"])
        self.assertEqual(len(said["Finished"]["evidence"]), 1)
        self.vm.run("! pidof sleep")  # it lived until its post had ended

    def test_a_holder_that_dies_takes_the_level_back(self):
        self.hook("10-a", "setsid sleep 1 >/dev/null 2>&1 &")
        thawed = self.session("freeze", "hold:1500", "thaw", "finish")["Thawed"]
        against = [e for e in thawed["evidence"] if e["kind"] == "hook"]
        self.assertEqual([(e["name"], e["quiesced"]) for e in against], [("10-a", False)])

    def test_sigterm_is_no_way_out(self):
        self.hook("10-a", "trap '' TERM; (trap '' TERM; setsid sleep 1001) & sleep 1002",
                  pre_attributes="timeout='1s'")
        evidence = self.pre_evidence()
        self.assertEqual(evidence["note"], "killed at its timeout")
        self.assertGreaterEqual(evidence["duration_ns"], 10**9)
        self.vm.run("! pidof sleep")
        self.assertEqual(self.record(), ["pre", "abort-aborted"])

    def test_the_third_try_succeeds(self):
        self.hook("10-a", "echo x >>/run/tries; [ $(wc -l </run/tries) = 3 ]",
                  pre_attributes="tries='5' backoff='300ms'")
        evidence = self.pre_evidence()
        self.assertEqual((evidence["quiesced"], evidence["executions"]), (True, 3))
        self.assertGreaterEqual(evidence["duration_ns"], 900 * 10**6)
        self.assertEqual(self.record(), ["pre", "pre", "pre", "post-success"])

    def test_the_user_it_names(self):
        self.hook("10-a", "id -u; id -G; exit 1", pre_attributes="user='app'")
        self.vm.run("chmod 777 /mnt/a")
        self.assertEqual(self.pre_evidence()["note"], "exit code 1: 1000 1001")
        self.vm.run("chmod 755 /mnt/a")

    def test_kill_9_between_pre_and_post(self):
        self.hook("10-a", "setsid sleep 1003 >/dev/null 2>&1 &")
        self.hook("20-b")
        talk(self.vm, "prepare-application", "hang-up")
        self.wait_record(["pre", "pre", "post-failure", "post-failure"])
        self.setUp()
        self.hook("10-a", "setsid sleep 1003 >/dev/null 2>&1 &",
                  abort="pidof sleep >/dev/null && printf 'held '>>/mnt/a/record")
        self.hook("20-b", "kill -9 $(pidof stillpoint-guest); sleep 1000")
        talk(self.vm, "prepare-application", check=False)
        self.wait_record(["pre", "pre"])
        self.vm.run(writing_guest.EXTENSION)
        welcome = bodies(talk(self.vm))["Welcome"]
        # 20-b was cut and is killed first; what 10-a holds is held until its abort has run.
        self.assertEqual(self.record(),
                         ["pre", "pre", "abort-aborted", "abort-aborted", "held"])
        self.assertEqual(welcome["journal"],
                         "recovered: 20-b: abort succeeded; 10-a: abort succeeded;")
        self.vm.run("! pidof sleep")
        self.assertEqual(self.restart()["journal"], "clean")
        self.assertEqual(len(self.record()), 5)

    def test_kill_9_while_post_runs(self):
        self.hook("10-a", post="kill -9 $(pidof stillpoint-guest); sleep 1; "
                               "printf 'done ' >>/mnt/a/record")
        talk(self.vm, "prepare-application", "finish", check=False)
        self.vm.run(writing_guest.EXTENSION)
        self.assertIn("not repeated", bodies(talk(self.vm))["Welcome"]["journal"])
        self.assertEqual(self.record(), ["pre", "post-success", "done"])

    def test_a_damaged_journal_runs_nothing(self):
        self.hook("10-a", "kill -9 $(pidof stillpoint-guest)")
        talk(self.vm, "prepare-application", check=False)
        self.vm.run("echo x >>/var/lib/stillpoint/hooks.journal")
        self.vm.run(writing_guest.EXTENSION)
        self.assertIn("damaged", bodies(talk(self.vm))["Welcome"]["journal"])
        self.assertEqual(self.record(), ["pre"])
        self.vm.run("rm /var/lib/stillpoint/hooks.journal.damaged")

    def test_no_control_group_stays_behind(self):
        self.vm.run("mkdir -p /run/cg && mount -t cgroup2 cg /run/cg")
        try:
            self.hook("10-a", "cat /proc/self/cgroup >/run/where; setsid sleep 1004 >/dev/null &")
            for _ in range(2):
                self.session("finish")
                self.assertIn("0::/stillpoint-hooks/10-a.pre", self.vm.run("cat /run/where"))
                self.vm.run("! ls -d /run/cg/stillpoint-hooks")
        finally:
            self.vm.run("umount /run/cg")

    def check_old_kernel(self, group):
        """What gets away dies, at a timeout and after kill -9; what holds still is left alone.
        @param group the regular expression that a hook finds in its /proc/self/cgroup"""
        self.restart(within="/lab/bin/old_kernel")
        self.hook("10-a", "cat /proc/self/cgroup >/run/where; trap '' TERM; "
                  "(setsid sh -c 'setsid sleep 1001 & sleep 1002' &); sleep 1003",
                  pre_attributes="timeout='1s'")
        self.assertEqual(self.pre_evidence()["note"], "killed at its timeout")
        self.assertRegex(self.vm.run("cat /run/where"), group)
        self.vm.run("! pidof sleep")
        self.hook("10-a", "setsid sleep 1004 >/dev/null 2>&1 &",
                  abort="pidof sleep >/dev/null && printf 'held '>>/mnt/a/record")
        self.hook("20-b", "kill -9 $(pidof stillpoint-guest); sleep 1005")
        self.vm.run("rm /mnt/a/record")
        talk(self.vm, "prepare-application", check=False)
        self.wait_record(["pre", "pre"])
        self.vm.run(writing_guest.EXTENSION.replace("/lab/", "/lab/bin/old_kernel /lab/", 1))
        welcome = bodies(talk(self.vm))["Welcome"]
        self.assertEqual(self.record(),
                         ["pre", "pre", "abort-aborted", "abort-aborted", "held"])
        self.assertEqual(welcome["journal"],
                         "recovered: 20-b: abort succeeded; 10-a: abort succeeded;")
        self.vm.run("! pidof sleep")

    def test_control_groups_of_version_1(self):
        """As under a kernel that has no other: a hierarchy such as systemd's own."""
        self.vm.run("mkdir -p /run/v1 && mount -t cgroup -o none,name=systemd v1 /run/v1")
        try:
            self.check_old_kernel(r"name=systemd:/stillpoint-hooks/10-a.pre\n")
            self.vm.run("! ls -d /run/v1/stillpoint-hooks")
        finally:
            self.vm.run("umount -l /run/v1")  # the extension holds it open
            self.restart()

    def test_no_control_groups_at_all(self):
        try:
            self.check_old_kernel(r"^[^-]*$")  # no stillpoint-hooks
        finally:
            self.restart()

    def test_what_a_backup_makes_of_it(self):
        stillpoint = product.Stillpoint(self.place, greet_seconds=product.GREET_SECONDS)
        stillpoint.init()
        access = product.access_of(self.vm)
        self.hook()
        point = stillpoint.backup(access)
        self.assertEqual((point["level"], point["warnings"]), ("application", []))
        shown = stillpoint.run("show", point["point"]).json["evidence"]
        self.assertEqual([(e["name"], e["type"], e["quiesced"], e["executions"])
                          for e in shown if e["kind"] == "hook"],
                         [("10-a", "pre", True, 1), ("10-a", "post", True, 1)])

        self.hook("20-b", "exit 1")
        point = stillpoint.backup(access, expect=3)
        self.assertEqual(point["level"], "filesystem")
        self.assertIn("hook.failed", [w["code"] for w in point["warnings"]])

        kept = stillpoint.run("points").json
        self.hook("20-b", "echo no tape; exit 1", attributes="on-failure='fail'")
        self.vm.run("rm /mnt/a/record")
        answer = stillpoint.run("backup", *access, expect=1)
        self.assertEqual(answer.error, "hook.refused")
        self.assertIn("hook 20-b: exit code 1: no tape", answer.json["error"]["text"])
        self.assertEqual(self.record(), ["pre", "pre", "abort-aborted", "abort-aborted"])
        self.assertEqual(stillpoint.run("points").json, kept)

        self.hook("20-b", attributes="freeze-needed='no'")
        self.hook("10-a", attributes="freeze-needed='no'")
        point = stillpoint.backup(access)
        self.assertEqual((point["level"], point["frozen_ms"]), ("application", None))

        self.hook("10-a", "exit 1", attributes="freeze-needed='no' on-failure='continue'")
        point = stillpoint.backup(access, expect=3)
        self.assertEqual(point["level"], "filesystem")
        self.assertGreater(point["frozen_ms"], 0)

    def test_zz_the_power_is_cut_between_pre_and_post(self):
        hooks = {**files_of("10-a"), **files_of("20-b", "sync; touch /run/now; sleep 1000")}
        self.put(hooks)
        asking = threading.Thread(
            target=lambda: talk(self.vm, "prepare-application", check=False))
        asking.start()
        self.wait_record(["pre", "pre"])
        self.vm.kill()
        asking.join()
        self.boot("again", {path.lstrip("/"): content for path, content in hooks.items()})
        welcome = bodies(talk(self.vm))["Welcome"]
        self.assertEqual(self.record(), ["pre", "pre", "abort-aborted", "abort-aborted"])
        self.assertEqual(welcome["journal"],
                         "recovered: 20-b: abort succeeded; 10-a: abort succeeded;")
        self.assertEqual(self.restart()["journal"], "clean")
        self.assertEqual(len(self.record()), 4)


if __name__ == "__main__":
    guest_packages.enter()
    unittest.main(verbosity=2)
