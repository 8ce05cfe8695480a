"""A real guest with hooks: what they note, and what the extension says of them."""
import base64
import time
import unittest

import guest_packages
import images
import lab
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


class HookCase(unittest.TestCase):
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
