"""What an unprivileged user of the guest can try with hooks when somebody made a mistake."""
import threading

from hook_case import HOOKS

EVIL = "#!/bin/sh\\ntouch /run/evil\\n"  # as printf takes it
WRITABLE = "is writable by its group or by others"


def attempts(vm, script):
    """Runs a script in the guest as an unprivileged user."""
    vm.run(f"start-stop-daemon -S -c 1000:1000 -x /bin/sh -- -c '{script}' </dev/null || true")


class TrustOfHooks:
    """Tests for a HookCase."""

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
