#!/usr/bin/env python3
"""Hooks in a real guest: how they may end, what they may leave behind, what a kill or a power cut
owes them, what an unprivileged user can try, and what a backup makes of all that."""
import base64
import threading
import time
import unittest

import lab
import product
import writing_guest
from test_guest import bodies, talk

HOOKS = "/etc/stillpoint/hooks.d"
# The journal on a real disk, and beside it what the hooks note. An initramfs's / lets all write.
STATE = """
chmod 755 / /etc
mkdir -p /mnt/a/var /var/lib/stillpoint && mount --bind /mnt/a/var /var/lib/stillpoint
"""
NOTE = ('#!/bin/sh\nprintf "%s " "$STILLPOINT_PHASE${STILLPOINT_RESULT:+-$STILLPOINT_RESULT}"'
        ' >>/mnt/a/record; sync\n')


def files_of(name, pre="", post="", abort="", *, attributes="", pre_attributes="timeout='20s'"):
    """The files of a hook that notes its phase and then does what it is told.
    @return {path in the guest: bytes}"""
    xml = (f"<hook {attributes}><pre command='pre' {pre_attributes}/><post command='post'/>"
           "<abort command='abort'/></hook>")
    return {f"{HOOKS}/{name}/{file}": content.encode() for file, content in
            (("hook.xml", xml), ("pre", NOTE + pre), ("post", NOTE + post),
             ("abort", NOTE + abort))}


def attempts(vm, script):
    """Runs a script in the guest as an unprivileged user."""
    vm.run(f"start-stop-daemon -S -c 1000:1000 -x /bin/sh -- -c '{script}' </dev/null || true")


class HookMatrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        cls.disks = writing_guest.make_disks(cls.place, image_format="raw")
        cls.boot("guest")
        cls.addClassCleanup(lambda: print(cls.vm.run("cat /run/stillpoint-guest.log"))
                            if cls.vm.process.poll() is None else None)

    @classmethod
    def boot(cls, name, files=None):
        accounts = {"etc/passwd": b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n",
                    "etc/group": b"root:x:0:\napp:x:1000:\nextra:x:1001:app\n"}
        cls.vm = writing_guest.start(cls.place, cls.disks, name=name,
                                     files={**accounts, **(files or {})},
                                     main=STATE + writing_guest.EXTENSION)

    def setUp(self):
        self.vm.run(f"rm -rf {HOOKS}; rm -f /mnt/a/record; mkdir -p {HOOKS}")

    def put(self, files):
        script = ""
        for path, content in files.items():
            script += (f"mkdir -p {path.rpartition('/')[0]}; rm -f {path}; echo "
                       f"{base64.b64encode(content).decode()} | base64 -d >{path}; "
                       f"chmod 755 {path}\n")
        self.vm.run(script)

    def hook(self, name="10-a", *bodies_, **options):
        self.put(files_of(name, *bodies_, **options))

    def record(self):
        return self.vm.run("cat /mnt/a/record 2>/dev/null || true").split()

    def wait_record(self, wanted):
        deadline = lab.Deadline(60)
        while self.record() != wanted:
            self.assertFalse(deadline.passed(), self.record())
            time.sleep(0.05)

    def session(self, *steps):
        return bodies(talk(self.vm, "prepare-application", *steps))

    def pre_evidence(self):
        """One session without a freeze. @return the evidence of its only pre"""
        return self.session("finish")["Prepared"]["evidence"][0]

    def restart(self, signal="9"):
        """Kills the agent and starts it again; @return its first Welcome"""
        self.vm.run(f"kill -{signal} $(pidof stillpoint-guest); while pidof stillpoint-guest; "
                    "do :; done")
        self.vm.run(writing_guest.EXTENSION)
        return bodies(talk(self.vm))["Welcome"]

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
                          "head -c 10485760 /dev/zero | tr '\\0' y >&2; exit 3")
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

    def test_what_an_unprivileged_user_can_try(self):
        evil = "#!/bin/sh\\ntouch /run/evil\\n"
        for opened, attack, why in (
                (f"chmod 777 {HOOKS}/10-a", f"cd {HOOKS}/10-a; rm -f pre; printf \"{evil}\" >pre;"
                 " chmod 755 pre", "is writable by its group or by others"),
                (f"chmod 757 {HOOKS}/10-a/pre", f"printf \"{evil}\" >{HOOKS}/10-a/pre",
                 "is writable by its group or by others"),
                (f"chown 1000 {HOOKS}/10-a/pre", f"printf \"{evil}\" >{HOOKS}/10-a/pre",
                 "does not belong to root"),
                (f"chmod 777 {HOOKS}", f"cd {HOOKS}; mv 10-a old; mkdir 10-a; cp old/* 10-a;"
                 f" rm -f 10-a/pre; printf \"{evil}\" >10-a/pre; chmod 755 10-a/pre",
                 "is writable by its group or by others"),
                ("chmod 777 /etc/stillpoint; mkdir -m 777 /run/own",
                 "cd /run/own; mkdir 10-a; mv /etc/stillpoint/hooks.d /etc/stillpoint/old;"
                 " ln -s /run/own /etc/stillpoint/hooks.d",
                 "is writable by its group or by others"),
                (f"mv {HOOKS}/10-a /run/real; mkdir -m 777 /run/swap; ln -s /run/swap/dir"
                 f" {HOOKS}/10-a", "ln -s /run/real /run/swap/dir", "is a symbolic link"),
                (f"chown 1000 {HOOKS}/10-a/hook.xml", f"sed -i s/pre/post/ {HOOKS}/10-a/hook.xml",
                 "does not belong to root")):
            with self.subTest(opened=opened):
                self.vm.run("chmod 755 /etc/stillpoint; rm -rf /etc/stillpoint/hooks.d "
                            "/etc/stillpoint/old /run/own /run/swap /run/real")
                self.setUp()
                self.hook()
                self.vm.run(opened)
                attempts(self.vm, attack)
                evidence = self.pre_evidence()
                self.assertFalse(evidence["quiesced"])
                self.assertEqual(evidence["executions"], 0)
                self.assertIn(why, evidence["note"])
                self.assertEqual(self.record(), [])
                self.vm.run("! ls /run/evil")
        self.vm.run("chmod 755 /etc/stillpoint; rm -rf /etc/stillpoint/hooks.d")

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
    lab.enter()
    unittest.main(verbosity=2)
