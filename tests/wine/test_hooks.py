#!/usr/bin/env python3
"""Hooks and guest.xml of the Windows extension, end to end as test_backup.py. Wine has no
PowerShell: what runs are .cmd files; the line for .ps1 is tested in tests/unit/guest-windows.

    test_hooks.py [Hooks]
"""
import shutil
import time

import windows_case
import windows_guest
from windows_guest import lab

FOLDER = "drive_c/ProgramData/Stillpoint"
# Says which phase it is for, and with which result; the lines of all hooks are one story.
NOTE = ("@echo %STILLPOINT_PHASE% {name} %STILLPOINT_RESULT%>>"
        r"C:\ProgramData\Stillpoint\story.txt" "\r\n")
XML = ('<hook on-failure="{policy}"><pre command="pre.cmd"/><post command="post.cmd"/></hook>')


class Hooks(windows_case.WindowsCase):
    def setUp(self):
        super().setUp()
        self.folder = windows_guest.prefix() / FOLDER
        shutil.rmtree(self.folder, ignore_errors=True)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(0o700)
        return path

    def add(self, name, *, policy="fallback", pre="", post=""):
        self.write(f"hooks.d/{name}/hook.xml", XML.format(policy=policy))
        self.write(f"hooks.d/{name}/pre.cmd", NOTE.format(name=name) + pre)
        self.write(f"hooks.d/{name}/post.cmd", NOTE.format(name=name) + post)

    def story(self):
        path = self.folder / "story.txt"
        return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []

    def hooks_of(self, point):
        return {e["name"]: e for e in point["evidence"]
                if e["kind"] == "hook" and e["type"] == "pre"}

    def test_a_backup_runs_pre_and_post(self):
        self.add("10-app")
        self.add("20-db", post="@echo it broke\r\n@exit /b 3\r\n")
        guest = self.start()
        point = self.backup()
        self.assert_level("application", point, guest)
        self.assertEqual(sorted(self.hooks_of(point)), ["10-app", "20-db"])
        self.assertTrue(all(hook["quiesced"] for hook in self.hooks_of(point).values()))
        self.assertEqual(self.story(), ["pre 10-app", "pre 20-db", "post 20-db success",
                                        "post 10-app success"])
        alert = [w["text"] for w in point["warnings"] if w["code"] == "hook.post_failed"]
        self.assertEqual(len(alert), 1, point["warnings"])
        self.assertIn("20-db (exit code 3: it broke)", alert[0])
        self.assertFalse((self.folder / "hooks.journal").exists())

    def test_a_pre_that_fails_is_in_the_recovery_point(self):
        self.add("10-app")
        self.add("20-db", pre="@echo no such database\r\n@exit /b 7\r\n")
        guest = self.start()
        point = self.backup()
        self.assert_level("filesystem", point, guest)
        failed = self.hooks_of(point)["20-db"]
        self.assertFalse(failed["quiesced"])
        self.assertEqual(failed["note"], "exit code 7: no such database")
        self.assertIn("hook.failed", [w["code"] for w in point["warnings"]])
        self.assertEqual(self.story(), ["pre 10-app", "pre 20-db", "post 20-db aborted",
                                        "post 10-app aborted"])
        # Read anew: the next backup needs that hook, or is none.
        self.add("20-db", policy="fail", pre="@exit /b 7\r\n")
        refused = self.host.run("backup", *self.access(), expect=1)
        self.assertEqual(refused.error, "hook.refused")

    def test_killed_with_hooks_held_it_ends_them_at_the_next_start(self):
        self.add("10-app")
        self.relay.lost = {"Freeze"}  # the backup goes no further
        guest = self.start()
        backup = self.host.start("backup", *map(str, self.access()), log="cut.log")
        deadline = lab.Deadline(60)
        while '"held"' not in self.journal():
            self.assertFalse(deadline.passed(), guest.log())
            time.sleep(0.05)
        guest.end()
        backup.kill()
        backup.wait(20)
        self.relay.lost = set()
        guest = self.start()
        point = self.backup()
        self.assertEqual(self.story(), ["pre 10-app", "post 10-app aborted", "pre 10-app",
                                        "post 10-app success"])
        self.assert_level("application", point, guest)
        self.assertIn("hook.journal", [w["code"] for w in point["warnings"]])

    def journal(self):
        path = self.folder / "hooks.journal"
        return path.read_text() if path.exists() else ""

    def test_guest_xml(self):
        config = self.write("guest.xml", '<guest><vss type="copy"><exclude '
                            'writer="sqlserverwriter"/></vss></guest>')
        guest = self.start()
        point = self.backup()
        self.assertIn("SetBackupState components=1 type=copy", guest.calls())
        self.assertTrue(point["partial"], point)
        self.assert_level("application", point, guest)

        # Later it may be wrong: what was read before holds on.
        config.write_text('<guest>\n<vss typ="full"/></guest>')
        self.backup()
        self.assertIn("guest.xml:2: unknown attribute typ", guest.log())
        self.assertEqual(guest.calls().count("SetBackupState components=1 type=copy"), 2)
        guest.end()

        for text, mode, said in ((config.read_text(), 0o700, "guest.xml:2: unknown attribute typ"),
                                 ("<guest/>", 0o777, r"guest.xml can be written by")):
            config.write_text(text)
            config.chmod(mode)
            guest = self.start()
            self.assertNotEqual(guest.process.wait(60), 0)
            self.assertIn(said, guest.log())
            self.assertIn("icacls" if mode == 0o777 else "docs/windows.md", guest.log())


if __name__ == "__main__":
    windows_case.main()
