#!/usr/bin/env python3
"""The freeze where it is hard: stacked devices, hundreds of mounts, subvolumes, other freezers, a
virus scanner that logs to what is frozen, every process killed at many points, no memory.

STILLPOINT_TEST_LENGTH=long repeats what is random often."""
import itertools
import json
import os
import shutil
import subprocess
import time
import unittest

import guest_agent
import guest_packages
import images
import lab
import machine
import product
import test_guest
import tiny_guest
import writing_guest

LONG = os.environ.get("STILLPOINT_TEST_LENGTH") == "long"
KILLS_PER_VICTIM = 60 if LONG else 4
VICTIMS = ("sp-freezer", "sp-watchdog", "sp-rescuer", "stillpoint-gues")
WINDOW_S = 0.8  # of prepare, freeze and a short hold, in which the kills are spread
STACK_MIB, BTRFS_MIB = 420, 256
BUDGET_S, SLACK_S = 5, 1
TOOLS = ("dmsetup", "mkfs.xfs", "mkfs.ext4", "mkfs.btrfs", "btrfs")
PACKAGED = (guest_agent.PROGRAM, "sbin/lvm", "sbin/cryptsetup")
# Without udev the tools make the names in /dev themselves.
LVM_CONF = b"""activation { udev_sync = 0 udev_rules = 0 }
devices { obtain_device_list_from_udev = 0 }
backup { backup = 0 archive = 0 }
"""
LOAD = 'for module in /lab/more/{}/*.ko; do insmod "$module" 2>/dev/null; done; '


def blank(place, name, size_mib):
    path = place.vm_folder("disks") / f"{name}.raw"
    images.must("truncate", "-s", f"{size_mib}M", path)
    lab.qemu_owns(path)
    return machine.Disk(name, path, "raw")


class Hard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        cls.tools = {name: shutil.which(name) for name in TOOLS}
        disks = [*writing_guest.make_disks(cls.place, image_format="raw"),
                 blank(cls.place, "vdc", STACK_MIB), blank(cls.place, "vdd", BTRFS_MIB)]
        listener = cls.place.folder / "perm_listener"
        images.must("strip", "-o", listener, lab.build_folder() / "tests/vm/guest/perm_listener")
        packaged = guest_packages.files(*PACKAGED)
        cls.tools |= {path.rpartition("/")[2]: packaged.get(f"lab/bin/{path.rpartition('/')[2]}")
                      for path in PACKAGED}
        files = {"lab/bin/perm_listener": listener, "etc/lvm/lvm.conf": LVM_CONF,
                 **tiny_guest.extra_modules(*tiny_guest.EXTRA_MODULES),
                 **tiny_guest.with_libraries(*filter(None, map(shutil.which, TOOLS))), **packaged}
        cls.vm = writing_guest.start(cls.place, disks, files=files, memory_mib=384,
                                     extra=guest_agent.GuestAgent.device(
                                         cls.place.vm_folder("guest")),
                                     main=writing_guest.EXTENSION)
        cls.addClassCleanup(lambda: print(cls.vm.run("tail -n 60 /run/stillpoint-guest.log"))
                            if cls.vm.process.poll() is None else None)

    def need(self, *tools, **modules):
        missing = [name for name in tools if not self.tools[name]]
        for module, probe in modules.items():
            status, _ = self.vm.run(LOAD.format(module) + probe, check=False)
            if status != 0:
                missing.append(f"the kernel's {module}")
        if missing:
            self.skipTest("not here: " + ", ".join(missing))

    def session(self, *steps):
        steps = steps or ("prepare", "freeze", "thaw", "finish")
        return test_guest.bodies(test_guest.talk(self.vm, *steps))

    def held(self, *names):
        """A whole session that holds these filesystems. @return {name: evidence}"""
        said = self.session()
        self.assertTrue(said["Thawed"]["held"], said)
        evidence = {e["name"]: e for e in said["Thawed"]["evidence"]}
        for name in names:
            self.assertTrue(evidence[name]["quiesced"], evidence)
        return evidence

    def writable(self, *folders, seconds=BUDGET_S + SLACK_S):
        """Each takes a new file before the time is up, measured in the guest."""
        for folder in folders or ("/mnt/a", "/mnt/b"):
            self.vm.run(f"timeout {seconds} touch {folder}/writable && rm {folder}/writable")

    def left_frozen(self):
        """@return the folders that do not take a file within the budget and a second"""
        frozen = []
        for folder in ("/mnt/a", "/mnt/b"):
            status, _ = self.vm.run(f"touch {folder}/w & p=$!; n=0; while kill -0 $p 2>/dev/null "
                                    f"&& [ $n -lt {(BUDGET_S + SLACK_S) * 20} ]; do "
                                    "usleep 50000; n=$((n+1)); done; ! kill -0 $p 2>/dev/null",
                                    check=False)
            if status != 0:
                frozen.append(folder)
        return frozen

    def test_loop_on_xfs_on_lvm_on_luks(self):
        """Real LUKS2 by cryptsetup below a real volume group."""
        self.need("dmsetup", "mkfs.xfs", "mkfs.ext4", "lvm", "cryptsetup", aes_generic="true",
                  ecb="true", xts="true", algif_skcipher="true",
                  dm_mod="test -e /sys/class/misc/device-mapper",
                  dm_crypt="dmsetup targets | grep -q crypt")
        self.vm.run("""set -e; export DM_DISABLE_UDEV=1; mkdir -p /mnt/c /mnt/d
            printf secret >/run/key
            cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
                --cipher aes-xts-plain64 --key-file /run/key /dev/vdc
            cryptsetup open --key-file /run/key /dev/vdc luks
            lvm pvcreate -q /dev/mapper/luks; lvm vgcreate -q vg /dev/mapper/luks
            lvm lvcreate -q -n lv -l 100%FREE vg
            mkfs.xfs -q -f /dev/mapper/vg-lv; mount -t xfs /dev/mapper/vg-lv /mnt/c
            dd if=/dev/zero of=/mnt/c/image bs=1M count=0 seek=48 2>/dev/null
            mkfs.ext4 -q -F /mnt/c/image; mount -o loop /mnt/c/image /mnt/d""")
        try:
            kinds = self.vm.run("cat /sys/class/block/dm-*/dm/uuid")
            self.assertRegex(kinds, r"CRYPT-LUKS2-(.|\n)*LVM-")
            plan = self.vm.run("stillpoint-guest plan")
            self.assertRegex(plan, r"freeze  /mnt/d .*level 1\n")
            self.vm.run("for i in $(seq 50); do echo x >/mnt/d/f$i; echo y >/mnt/c/f$i; done")
            for _ in range(3):
                self.held("/mnt/a", "/mnt/b", "/mnt/c", "/mnt/d")
            self.writable("/mnt/c", "/mnt/d")
            self.vm.run("dmsetup suspend vg-lv --noudevsync")
            status, _ = self.vm.run("stillpoint-guest plan", check=False)
            self.assertEqual(status, 1)  # somebody works on it: refused, not hung
        finally:
            self.vm.run("export DM_DISABLE_UDEV=1; dmsetup resume vg-lv --noudevsync; "
                        "umount /mnt/d; umount /mnt/c; lvm vgchange -q -an vg; "
                        "cryptsetup close luks", check=False)

    def test_three_hundred_bind_mounts(self):
        self.vm.run("for i in $(seq 300); do mkdir -p /run/b/$i && "
                    "mount --bind /mnt/a /run/b/$i || exit 1; done")
        try:
            evidence = self.held("/mnt/a", "/mnt/b")
            self.assertEqual(sorted(evidence), ["/mnt/a", "/mnt/b"])
        finally:
            self.vm.run("for i in $(seq 300); do umount /run/b/$i; done")

    def test_the_doctor(self):
        """From inside and from the host; a dry run leaves nothing frozen."""
        status, text = self.vm.run("stillpoint-guest doctor", check=False)
        self.assertIn(status, (0, 3), text)
        self.assertRegex(text, r"/mnt/a +ext4 .*freeze +[0-9.]+ ms")
        status, text = self.vm.run("stillpoint-guest doctor --json --no-freeze", check=False)
        self.assertFalse(any(mount["froze"] for mount in json.loads(text)["mounts"]))
        user = product.Stillpoint(self.place, greet_seconds=product.GREET_SECONDS)
        found = user.run("guest", "doctor", *product.access_of(self.vm), expect=(0, 3)).json
        self.assertEqual({mount["name"]: mount["froze"] for mount in found["mounts"]},
                         {"/mnt/a": True, "/mnt/b": True})
        for mount in found["mounts"]:
            print(f"figure dry_run {mount['name']} freeze_ms={mount['freeze_ns'] / 1e6:.1f} "
                  f"thaw_ms={mount['thaw_ns'] / 1e6:.1f}", flush=True)
        self.vm.run("fsfreeze --freeze /mnt/b")
        try:
            found = user.run("guest", "doctor", *product.access_of(self.vm), expect=3).json
            foreign = [f for f in found["findings"] if f["id"] == "freeze.foreign"]
            self.assertEqual([f["object"] for f in foreign], ["/mnt/b"])
            self.assertTrue(foreign[0]["remedy"])
        finally:
            self.vm.run("fsfreeze --unfreeze /mnt/b")
        self.assertEqual(self.left_frozen(), [])

    def test_reload(self):
        """SIGHUP: a wrong file changes nothing and is told, a right one counts."""
        self.vm.run("cp /etc/stillpoint/guest.xml /run/old.xml; "
                    "echo '<guest><freeze><exclude label=\"lab\"/></freeze></guest>' "
                    ">/etc/stillpoint/guest.xml; kill -HUP $(pidof stillpoint-guest)")
        try:
            said = self.session("cancel")
            excluded = {v["name"]: v["excluded"] for v in said["Welcome"]["volumes"]}
            self.assertEqual(excluded, {"/mnt/a": True, "/mnt/b": True})  # by superblock alone
            self.vm.run("echo '<guest><nonsense/></guest>' >/etc/stillpoint/guest.xml; "
                        "kill -HUP $(pidof stillpoint-guest)")
            said = self.session("cancel")
            self.assertTrue(all(v["excluded"] for v in said["Welcome"]["volumes"]))
            self.assertIn("stays as it was", self.vm.run("cat /run/stillpoint-guest.log"))
        finally:
            self.vm.run("cp /run/old.xml /etc/stillpoint/guest.xml; "
                        "kill -HUP $(pidof stillpoint-guest)")
        self.held("/mnt/a", "/mnt/b")

    def test_btrfs_subvolumes(self):
        self.need("mkfs.btrfs", "btrfs", btrfs="grep -q btrfs /proc/filesystems")
        self.vm.run("""set -e; mkfs.btrfs -q -f /dev/vdd; mkdir -p /mnt/d /run/s1 /run/s2
            mount -t btrfs /dev/vdd /mnt/d
            for i in $(seq 20); do btrfs subvolume create /mnt/d/s$i >/dev/null; done
            mount -t btrfs -o subvol=s1 /dev/vdd /run/s1
            mount -t btrfs -o subvol=s2 /dev/vdd /run/s2""")
        try:
            evidence = self.held("/mnt/d")
            self.assertEqual(len(evidence), 3)  # it is one filesystem
            self.writable("/mnt/d", "/run/s1", "/run/s2")
        finally:
            self.vm.run("umount /run/s1 /run/s2 /mnt/d", check=False)

    def test_mounts_that_no_path_leads_to(self):
        """In another namespace alone, covered, lazily unmounted, and with an odd name."""
        self.need("mkfs.ext4")
        odd = "/run/a b\n\\040 é"
        shown = odd.replace("\n", "?")  # as the host passes on what a guest wrote
        self.vm.run(f"""mkfs.ext4 -q -F /dev/vdd && mkdir -p /run/ns && mkdir -p '{odd}'
            unshare -m sh -c 'mount -t ext4 /dev/vdd /run/ns && exec sleep 600' >/dev/null 2>&1 &
            n=0; while ! dmesg | grep -q 'vdd.*mounted' && [ $n -lt 100 ]; do
                usleep 50000; n=$((n+1)); done""")
        try:
            evidence = self.held("/mnt/a", "/mnt/b")
            self.assertEqual([e["quiesced"] for name, e in evidence.items()
                              if name.startswith("/run/ns (in sleep, pid")], [True])
            self.vm.run(f"kill $(pidof sleep); usleep 300000; mount -t ext4 /dev/vdd '{odd}'")
            self.held(shown)
            self.vm.run(f"mount -t tmpfs cover '{odd}'")
            self.held(shown + " (hidden)")
            self.vm.run(f"umount '{odd}' && cd '{odd}' && (sleep 600 >f 2>&1 &) && cd / && "
                        f"umount -l '{odd}'")
            self.held("/dev/vdd (mounted nowhere)")
        finally:
            self.vm.run(f"kill $(pidof sleep); usleep 300000; umount '{odd}'", check=False)
        self.assertEqual(len(self.held("/mnt/a", "/mnt/b")), 2)

    def test_another_freezer(self):
        """What qemu-guest-agent or fsfreeze holds is reported and never thawed by us."""
        self.vm.run("fsfreeze --freeze /mnt/b")
        try:
            evidence = self.held("/mnt/a")
            self.assertFalse(evidence["/mnt/b"]["quiesced"])
            self.assertEqual(evidence["/mnt/b"]["note"], "is frozen by somebody else")
            self.vm.run("fsfreeze --freeze /mnt/a")
            answers = test_guest.talk(self.vm, "prepare", "freeze", check=False)
            self.assertIn("freeze.foreign", answers[-1][1])
            self.vm.run("fsfreeze --unfreeze /mnt/a")
        finally:
            # Fails if we had thawed it.
            self.vm.run("fsfreeze --unfreeze /mnt/b")
        self.held("/mnt/a", "/mnt/b")

    def backup(self):
        """@return the point of a backup that warns"""
        user = product.Stillpoint(self.place, greet_seconds=product.GREET_SECONDS)
        if not user.vault.exists():
            user.init()
        return user.backup(product.access_of(self.vm), expect=3)

    def test_qemu_ga_froze_first(self):
        """The real one: what it holds is named, lowers the level and is its own to thaw."""
        self.need("qemu-ga")
        with guest_agent.GuestAgent(self.vm) as other:
            self.assertEqual(other.ask("guest-fsfreeze-freeze-list", mountpoints=["/mnt/b"]), 1)
            evidence = self.held("/mnt/a")
            self.assertFalse(evidence["/mnt/b"]["quiesced"])
            self.assertEqual(evidence["/mnt/b"]["note"], "is frozen by somebody else")
            self.assertEqual(other.ask("guest-fsfreeze-status"), "frozen")
            self.assertEqual(other.ask("guest-fsfreeze-thaw"), 1)

            self.assertEqual(other.ask("guest-fsfreeze-freeze"), 2)
            point = self.backup()
            self.assertEqual(point["level"], "crash")
            self.assertIn("freeze.foreign", json.dumps(point["warnings"]))
            # Fails to count two if one of them had been thawed by us.
            self.assertEqual(other.ask("guest-fsfreeze-thaw"), 2)
        self.assertEqual(self.left_frozen(), [])
        self.held("/mnt/a", "/mnt/b")

    def test_qemu_ga_asks_while_we_hold(self):
        """Its freeze changes nothing of ours; its thaw does, and then nothing is claimed."""
        self.need("qemu-ga")
        with guest_agent.GuestAgent(self.vm) as other:
            for thaws in (False, True):
                with self.subTest(thaws=thaws), subprocess.Popen(
                        [lab.build_folder() / "tests/vm/guest_talk", self.vm.guest_socket,
                         "prepare", "freeze:8000", "hold:2500", "thaw", "finish"],
                        stdout=subprocess.PIPE, text=True) as talking:
                    lines = [talking.stdout.readline() for _ in range(3)]
                    self.assertIn("Frozen", lines[2])
                    self.assertEqual(other.ask("guest-fsfreeze-freeze"), 0)  # all were busy
                    if thaws:
                        other.ask("guest-fsfreeze-thaw")
                    said = test_guest.bodies(
                        [(0, json.loads(line.partition(" ")[2])) for line in talking.stdout])
                    self.assertEqual(said["Thawed"]["held"], not thaws)
                    if not thaws:
                        self.assertEqual(other.ask("guest-fsfreeze-thaw"), 0)
                self.assertEqual(self.left_frozen(), [])
        self.held("/mnt/a", "/mnt/b")

    def test_a_scanner_that_logs_to_what_is_frozen(self):
        self.vm.run("touch /mnt/a/victim; perm_listener /mnt/a /mnt/a/scan.log 3000 "
                    ">/run/listener 2>&1 & n=0; while ! grep -q listening /run/listener && "
                    "[ $n -lt 100 ]; do usleep 50000; n=$((n+1)); done; cat /run/listener >&2; "
                    "grep -q listening /run/listener")
        try:
            self.assertIn("perm_listener", self.vm.run("stillpoint-guest plan"))
            self.vm.run("perm_listener open /mnt/a/victim >/dev/null 2>&1 &")
            begin = time.monotonic()
            answers = test_guest.talk(self.vm, "prepare", "freeze", check=False)
            took = time.monotonic() - begin
            self.assertIn("freeze.timeout", answers[-1][1])
            self.assertIn("/mnt/a", answers[-1][1])
            self.assertIn("perm_listener", answers[-1][1])
            print(f"figure fanotify_abandoned_after_s {took:.1f}", flush=True)
            self.writable("/mnt/b", seconds=SLACK_S)  # the others are thawed
            self.session("ping")  # and it answers
            busy = test_guest.talk(self.vm, "prepare", "freeze", check=False)
            self.assertIn("freeze.", busy[-1][1])
        finally:
            # The opener's end lets the abandoned freeze complete; it is thawed once more.
            self.vm.run("kill -9 $(pidof perm_listener)", check=False)
        self.assertEqual(self.left_frozen(), [])
        self.held("/mnt/a", "/mnt/b")

    def test_kill_matrix(self):
        kills = tried = 0
        frozen = []
        for number, victim in itertools.product(range(KILLS_PER_VICTIM), VICTIMS):
            delay = WINDOW_S * (number + 0.5) / KILLS_PER_VICTIM
            talking = subprocess.Popen(
                [lab.build_folder() / "tests/vm/guest_talk", self.vm.guest_socket, "prepare",
                 "freeze", "hold:300", "thaw"], stdout=subprocess.PIPE, text=True)
            talking.stdout.readline()  # Welcome
            tried += 1
            # The wait is the guest's own: nobody is asked in between.
            status, _ = self.vm.run(
                f"usleep {int(delay * 1e6)}; n=0; while [ $n -lt 40 ]; do "
                f"p=$(ps -o pid,comm | awk '$2==\"{victim}\"||$2==\"{victim}t\"{{print $1; exit}}')"
                "; [ -n \"$p\" ] && kill -9 $p && exit 0; usleep 10000; n=$((n+1)); done; exit 1",
                check=False)
            kills += status == 0
            frozen += self.left_frozen()
            talking.kill()
            talking.communicate()
            self.vm.run("pidof stillpoint-guest >/dev/null || {" + writing_guest.EXTENSION + "}")
        print(f"figure kill_matrix tried={tried} killed={kills} left_frozen={len(frozen)}",
              flush=True)
        self.assertEqual(frozen, [])
        self.assertGreater(kills, tried // 2)
        self.held("/mnt/a", "/mnt/b")

    def test_every_process_dies_and_the_next_agent_thaws(self):
        talking = subprocess.Popen(
            [lab.build_folder() / "tests/vm/guest_talk", self.vm.guest_socket, "prepare", "freeze",
             "hold:20000"], stdout=subprocess.PIPE, text=True)
        lines = [talking.stdout.readline() for _ in range(3)]
        self.assertIn("Frozen", lines[2])
        try:
            scores = self.vm.run("for p in $(pidof stillpoint-guest sp-freezer sp-watchdog "
                                 "sp-rescuer); do cat /proc/$p/oom_score_adj; done").split()
            self.assertEqual(set(scores), {"-1000"})
            self.vm.run("""w=$(ps -o pid,comm | awk '$2=="sp-watchdog"{print $1}')
                a=$(pidof stillpoint-guest); kill -STOP $a $w
                for n in sp-rescuer sp-freezer; do
                    kill -9 $(ps -o pid,comm | awk -v n=$n '$2==n{print $1}'); done
                kill -9 $w $a; usleep 200000""", check=False)
            self.vm.run("touch /mnt/a/w & p=$!; usleep 1000000; kill -0 $p")  # nobody thaws
        finally:
            talking.kill()
            talking.communicate()
            self.vm.run("pidof stillpoint-guest >/dev/null || {" + writing_guest.EXTENSION + "}")
        self.assertEqual(self.left_frozen(), [])
        self.held("/mnt/a", "/mnt/b")

    def test_without_memory(self):
        self.vm.run("for i in 1 2 3; do "
                    "(while :; do tail /dev/zero; done >/dev/null 2>&1 &) ; done")
        held = 0
        rounds = 20 if LONG else 4
        try:
            for _ in range(rounds):
                answers = test_guest.talk(self.vm, "prepare", "freeze", "thaw", "finish",
                                          check=False)
                held += test_guest.bodies([a for a in answers if a[0] != "error"]).get(
                    "Thawed", {}).get("held", False)
        finally:
            self.vm.run("for p in $(pidof tail sh); do [ $p != $$ ] && [ $p != 1 ] && "
                        "grep -q 'tail\\|while' /proc/$p/cmdline && kill -9 $p; done; "
                        "kill -9 $(pidof tail)", check=False)
        print(f"figure memory_pressure rounds={rounds} held={held}", flush=True)
        self.assertEqual(self.left_frozen(), [])
        self.assertGreater(held, 0)


if __name__ == "__main__":
    guest_packages.enter()
    unittest.main(verbosity=2)
