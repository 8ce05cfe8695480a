#!/usr/bin/env python3
"""Hooks in a real guest: how they may end, what they may leave behind, what a kill or a power cut
owes them, what an unprivileged user can try, and what a backup makes of all that."""
import base64
import threading
import time
import unittest

import guest_packages
import images
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
EVIL = "#!/bin/sh\\ntouch /run/evil\\n"  # as printf takes it
WRITABLE = "is writable by its group or by others"
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
        old_kernel = cls.place.folder / "old_kernel"
        images.must("strip", "-o", old_kernel, lab.build_folder() / "tests/vm/guest/old_kernel")
        packaged = guest_packages.files("bin/setfacl")
        cls.acls = bool(packaged)
        cls.vm = writing_guest.start(cls.place, cls.disks, name=name,
                                     files={"lab/bin/old_kernel": old_kernel, **accounts,
                                            **packaged, **(files or {})},
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

    def restart(self, signal="9", within=""):
        """Kills the agent and starts it again; @return its first Welcome"""
        self.vm.run(f"kill -{signal} $(pidof stillpoint-guest); while pidof stillpoint-guest; "
                    "do :; done")
        self.vm.run(writing_guest.EXTENSION.replace("/lab/bin/", within + " /lab/bin/", 1))
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

    def attack(self, opened, attempt, why):
        """Somebody made a mistake, and an unprivileged user makes use of it."""
        with self.subTest(opened=opened):
            self.vm.run("chmod 755 /etc/stillpoint; rm -rf /etc/stillpoint/hooks.d "
                        "/etc/stillpoint/old /run/own /run/swap /run/real")
            self.setUp()
            self.hook()
            self.vm.run(opened)
            attempts(self.vm, attempt)
            evidence = self.pre_evidence()
            self.assertFalse(evidence["quiesced"])
            self.assertEqual(evidence["executions"], 0)
            self.assertIn(why, evidence["note"])
            self.assertEqual(self.record(), [])
            self.vm.run("! ls /run/evil")

    def test_what_an_unprivileged_user_can_try(self):
        overwrite = f"printf \"{EVIL}\" >{HOOKS}/10-a/pre"
        replace = f"cd {HOOKS}/10-a; rm -f pre; printf \"{EVIL}\" >pre; chmod 755 pre"
        for opened, attempt, why in (
                (f"chmod 777 {HOOKS}/10-a", replace, WRITABLE),
                (f"chmod 757 {HOOKS}/10-a/pre", overwrite, WRITABLE),
                (f"chgrp 1000 {HOOKS}/10-a/pre; chmod 775 {HOOKS}/10-a/pre", overwrite, WRITABLE),
                (f"chown 1000 {HOOKS}/10-a/pre", overwrite, "does not belong to root"),
                (f"chmod 777 {HOOKS}", f"cd {HOOKS}; mv 10-a old; mkdir 10-a; cp old/* 10-a;"
                 f" rm -f 10-a/pre; printf \"{EVIL}\" >10-a/pre; chmod 755 10-a/pre", WRITABLE),
                ("chmod 777 /etc/stillpoint; mkdir -m 777 /run/own",
                 "cd /run/own; mkdir 10-a; mv /etc/stillpoint/hooks.d /etc/stillpoint/old;"
                 " ln -s /run/own /etc/stillpoint/hooks.d", WRITABLE),
                (f"mv {HOOKS}/10-a /run/real; mkdir -m 777 /run/swap; ln -s /run/swap/dir"
                 f" {HOOKS}/10-a", "ln -s /run/real /run/swap/dir", "is a symbolic link"),
                (f"mkdir -m 777 /run/swap; ln -sf /run/swap/file {HOOKS}/10-a/pre",
                 f"cd /run/swap; printf \"{EVIL}\" >file; chmod 755 file", "is a symbolic link"),
                ("mkdir -m 1777 /run/own; "
                 f"sed -i \"s|'pre'|'/run/own/pre'|\" {HOOKS}/10-a/hook.xml",
                 f"cd /run/own; printf \"{EVIL}\" >pre; chmod 755 pre", WRITABLE),
                (f"chown 1000 {HOOKS}/10-a/hook.xml", f"sed -i s/pre/post/ {HOOKS}/10-a/hook.xml",
                 "does not belong to root")):
            self.attack(opened, attempt, why)
        self.vm.run("chmod 755 /etc/stillpoint; rm -rf /etc/stillpoint/hooks.d")

    def test_what_an_acl_lets_an_unprivileged_user_try(self):
        if not self.acls:
            self.skipTest("not here: setfacl")
        overwrite = f"printf \"{EVIL}\" >{HOOKS}/10-a/pre"
        replace = f"cd {HOOKS}/10-a; rm -f pre; printf \"{EVIL}\" >pre; chmod 755 pre"
        acl = "has an ACL that lets others write"
        # An ACL that is in force shows in the mode: its mask stands where the group's bits are.
        for who, mask, why in (("u", "rwx", WRITABLE), ("g", "rwx", WRITABLE),
                               ("u", "r-x", acl), ("g", "r-x", acl)):
            for part, attempt in ((f"{HOOKS}/10-a/pre", overwrite), (f"{HOOKS}/10-a", replace),
                                  (f"{HOOKS}/10-a/hook.xml", f": >{HOOKS}/10-a/hook.xml")):
                self.attack(f"setfacl -m {who}:1000:rwx,m::{mask} {part}", attempt, why)

    def test_a_hook_swapped_between_check_and_execution(self):
        """The journal's disk stands still, so that the hook waits when it has been judged and not
        yet executed; meanwhile its folder is opened to everybody, and everybody comes."""
        self.hook()
        self.vm.run("fsfreeze --freeze /mnt/a")
        said = {}
        asking = threading.Thread(target=lambda: said.update(self.session("finish")))
        asking.start()
        try:
            self.vm.run("n=0; while ! grep -q '^State:.D' /proc/[0-9]*/status && "
                        "[ $n -lt 300 ]; do usleep 50000; n=$((n+1)); done; [ $n -lt 300 ]")
            self.vm.run(f"chmod 777 {HOOKS}/10-a")
            attempts(self.vm, f"cd {HOOKS}/10-a; for f in pre post; do mv $f true-$f; "
                     f"printf \"{EVIL}\" >$f; chmod 755 $f; done")
            self.vm.run(f"grep -q evil {HOOKS}/10-a/pre")
        finally:
            self.vm.run("fsfreeze --unfreeze /mnt/a")
            asking.join()
        pre, post = said["Prepared"]["evidence"][0], said["Finished"]["evidence"][0]
        self.assertEqual((pre["quiesced"], pre["executions"]), (True, 1))
        self.assertEqual((post["quiesced"], post["executions"]), (False, 0))
        self.assertIn(WRITABLE, post["note"])
        self.assertEqual(self.record(), ["pre"])
        self.vm.run("! ls /run/evil")

    def test_a_file_that_somebody_has_kept_open(self):
        """Opened for writing when its mode allowed it; the mode was put right since."""
        for file in ("pre", "hook.xml"):
            with self.subTest(file=file):
                self.setUp()
                self.hook()
                path = f"{HOOKS}/10-a/{file}"
                self.vm.run(f"chmod 777 {path}; mkdir -m 777 /run/own; start-stop-daemon -S -b "
                            f"-c 1000:1000 -x /bin/sh -- -c 'exec 3>>{path}; : >/run/own/kept; "
                            "exec sleep 1006'; while [ ! -e /run/own/kept ]; do :; done; "
                            f"chmod 755 {path}")
                try:
                    evidence = self.pre_evidence()
                    self.assertEqual((evidence["quiesced"], evidence["executions"]), (False, 0))
                    self.assertIn("is open for writing", evidence["note"])
                    self.assertEqual(self.record(), [])
                finally:
                    self.vm.run("kill $(pidof sleep); while pidof sleep; do :; done; "
                                "rm -r /run/own")
                self.assertTrue(self.pre_evidence()["quiesced"])

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
