#!/usr/bin/env python3
"""What a VM needs beside its disks: UEFI variables, TPM state and definition are in the point, come
back byte for byte, and what cannot be taken is named. No guest is needed.

    test_configuration.py qmp|libvirt
"""
import os
import pathlib
import random
import shutil
import sys
import unittest

import images
import lab
import machine
import paused_domain
import plain_qemu
import product

LIBVIRT = sys.argv[1:] == ["libvirt"]
FLASH_BYTES = 540672  # as OVMF's variables have

DOMAIN = paused_domain.DOMAIN.replace("hvm</type>", """hvm</type>
    <loader readonly='yes' type='pflash'>{code}</loader><nvram>{nvram}</nvram>""").replace(
        "<memballoon", "{tpm}<memballoon").replace(
            "<devices>", "<features><acpi/></features><devices>")
TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"


class Case(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.stillpoint = product.Stillpoint(self.place)
        self.stillpoint.init()
        self.images = self.place.vm_folder("images")
        self.disk = self.make_disk("vda")
        # Firmware that no guest runs: the machines stay paused.
        self.code = self.make_flash("code.fd", bytes(2 << 20))
        self.nvram = self.make_flash("vars.fd", random.Random(1).randbytes(FLASH_BYTES))

    def make_disk(self, name):
        path = self.images / f"{name}.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, "16M")
        lab.qemu_owns(path)
        return machine.Disk(name, path)

    def make_flash(self, name, content):
        path = self.images / name
        path.write_bytes(content)
        lab.qemu_owns(path)
        return path

    def files(self, point):
        """{name, or kind of what was not taken: entry}"""
        return {entry["name"] or entry["kind"]: entry for entry in point["configuration"]}

    def warned(self, point):
        return [warning["text"] for warning in point["warnings"]
                if warning["code"] == "configuration.not_taken"]

    def restore(self, point, folder, *arguments):
        self.stillpoint.run("restore", point["point"], "--to", self.place.folder / folder,
                            *arguments)
        return self.place.folder / folder

    def assert_restored(self, point, folder, expected):
        """@param expected {file below the folder: where its content came from}"""
        restored = self.restore(point, folder)
        for name, source in expected.items():
            self.assertEqual((restored / name).read_bytes(), pathlib.Path(source).read_bytes(),
                             name)
            self.assertEqual((restored / name).stat().st_mode & 0o777, 0o600, name)
        return restored

    def assert_sound(self, point):
        """Verify, check and gc treat the files as they treat disks."""
        self.assertTrue(self.stillpoint.run("verify", point["point"]).json["ok"])
        url = f"file://{self.stillpoint.vault}"
        self.stillpoint.run("vault", "gc", url)
        self.assertTrue(self.stillpoint.run("vault", "check", url, "--read-data").json["ok"])


@unittest.skipIf(LIBVIRT, "qmp")
class Qmp(Case):
    def start(self, name, *extra):
        return plain_qemu.PlainQemu(self.place, name, [self.disk], extra=extra)

    def backup(self, vm, *arguments):
        return self.stillpoint.backup(product.access_of(vm), *arguments, expect=3)

    def test_flash_of_a_drive(self):
        vm = self.start("vm1",
                        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self.code}",
                        "-drive", f"if=pflash,unit=1,format=raw,file={self.nvram}")
        point = self.backup(vm)
        self.assertEqual([disk["name"] for disk in point["disks"]], ["vda"])
        self.assertEqual(set(self.files(point)), {"vm.json", "nvram.fd"})
        self.assertEqual(self.warned(point), [])
        shown = self.stillpoint.run("show", point["point"]).json
        self.assertEqual(shown["configuration"], point["configuration"])
        self.assertEqual(self.files(point)["nvram.fd"]["bytes"], FLASH_BYTES)
        self.assert_restored(point, "out", {"nvram.fd": self.nvram})
        self.assert_sound(point)
        bare = self.restore(point, "bare", "--no-config")
        self.assertEqual([path.name for path in bare.iterdir()], ["vda.qcow2"])
        wrong = self.stillpoint.run("restore", point["point"], "--to", bare, "--disk", "@nvram",
                                    expect=2)
        self.assertEqual(wrong.error, "point.no_such_disk")

        before = self.nvram.read_bytes()
        vm.qmp("human-monitor-command", **{"command-line": 'qemu-io pflash1 "write -P 7 4k 4k"'})
        changed = self.backup(vm)
        self.assertEqual(changed["disks"][0]["mode"], "increment")
        self.assertNotEqual(self.nvram.read_bytes(), before)
        self.assert_restored(changed, "changed", {"nvram.fd": self.nvram})

    def test_flash_of_a_node(self):
        vm = self.start("vm1", "-blockdev",
                        f"driver=file,filename={self.code},node-name=code,read-only=on",
                        "-blockdev", f"driver=file,filename={self.nvram},node-name=vars-file",
                        "-blockdev", "driver=raw,file=vars-file,node-name=vars",
                        "-machine", "pflash0=code,pflash1=vars")
        self.assert_restored(self.backup(vm), "out", {"nvram.fd": self.nvram})

    def test_what_is_not_taken_is_named(self):
        link = self.images / "link.fd"
        link.symlink_to(self.nvram)
        qcow2 = self.images / "vars.qcow2"
        images.must("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.nvram, qcow2)
        lab.qemu_owns(qcow2)
        vm = self.start("vm1", "-drive", f"if=pflash,unit=0,format=raw,file={link}",
                        "-drive", f"if=pflash,unit=1,format=qcow2,file={qcow2}")
        link.unlink()
        link.symlink_to("/nowhere")
        point = self.backup(vm)
        texts = self.warned(point)
        self.assertEqual(len(texts), 2, point["warnings"])
        self.assertIn("qcow2 image", texts[1])
        vm.quit()

    def test_images_alone_say_that_they_know_nothing(self):
        point = self.stillpoint.backup(["vm1", "--image", f"vda={self.disk.path}"], expect=3)
        self.assertEqual(self.warned(point), [])
        self.assertEqual({entry["kind"]: entry["taken"] for entry in point["configuration"]},
                         {"definition": True, "nvram": False, "tpm": False})
        answer = self.stillpoint.run("backup", "vm1", "--image", f"@tpm={self.disk.path}",
                                     expect=2)
        self.assertEqual(answer.error, "vault.disk_name")

    def test_images_and_their_variables(self):
        images_of_it = ["vm1", "--image", f"vda={self.disk.path}"]
        point = self.stillpoint.backup([*images_of_it, "--nvram", self.nvram], expect=3)
        self.assertEqual(self.warned(point), [])
        self.assert_restored(point, "out", {"nvram.fd": self.nvram})
        answer = self.stillpoint.run("backup", *images_of_it, "--nvram", f"{self.nvram}x", expect=1)
        self.assertEqual(answer.error, "image.missing")
        self.assertIn("--nvram", str(answer.json))
        self.stillpoint.run("backup", "vm1", "--nvram", self.nvram, expect=2)


@unittest.skipUnless(LIBVIRT, "libvirt")
class Libvirt(Case):
    tpm = TPM if shutil.which("swtpm_setup") else ""

    def start(self, name="uefi"):
        text = DOMAIN.format(name=name, uuid=paused_domain.UUID.format(1), code=self.code,
                             nvram=self.nvram, tpm=self.tpm,
                             disks=paused_domain.disk_xml(self.disk))
        return paused_domain.PausedDomain(self.place, name, [self.disk], xml=text)

    def expected(self):
        wanted = {"nvram.fd": self.nvram}
        if self.tpm:
            folder = pathlib.Path("/var/lib/libvirt/swtpm") / paused_domain.UUID.format(1) / "tpm2"
            wanted["tpm/tpm2-00.permall"] = folder / "tpm2-00.permall"
        return wanted

    def backup(self, vm):
        return self.stillpoint.backup(product.access_of(vm), expect=3)

    def test_running_and_off(self):
        vm = self.start()
        wanted = self.expected()
        running = self.backup(vm)
        self.assertEqual(set(self.files(running)), {"domain.xml", *wanted})
        self.assertEqual(self.warned(running), [])
        restored = self.assert_restored(running, "running", wanted)
        self.assertIn(f"{self.nvram}</nvram>", (restored / "domain.xml").read_text())
        self.assert_sound(running)

        vm.quit()
        self.nvram.write_bytes(random.Random(2).randbytes(FLASH_BYTES))
        off = self.backup(vm)
        self.assertEqual(off["disks"][0]["mode"], "increment")
        self.assertEqual(set(self.files(off)), {"domain.xml", *wanted})
        self.assert_restored(off, "off", wanted)
        self.assertEqual((self.place.folder / "running/nvram.fd").read_bytes(),
                         random.Random(1).randbytes(FLASH_BYTES))

    def test_what_is_not_taken_is_named(self):
        vm = self.start()
        vm.quit()
        self.nvram.unlink()
        os.mkfifo(self.nvram)
        if self.tpm:
            shutil.rmtree(self.expected()["tpm/tpm2-00.permall"].parent)
        point = self.backup(vm)
        self.assertEqual(len(self.warned(point)), len(self.expected()), point["warnings"])
        self.assertIn("no regular file", self.warned(point)[0])
        restored = self.restore(point, "out")
        self.assertEqual(sorted(path.name for path in restored.iterdir()),
                         ["domain.xml", "vda.qcow2"])


if __name__ == "__main__":
    lab.enter(LIBVIRT)
    unittest.main(argv=sys.argv[:1], verbosity=2)
