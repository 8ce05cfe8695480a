#!/usr/bin/env python3
"""A real UEFI machine: what a guest keeps in its firmware's variables is in the point, and a
machine that is started from what comes back boots and finds it again. Plain QEMU with OVMF.
"""
import pathlib
import shutil
import unittest

import images
import lab
import machine
import product
import tiny_guest

CODE = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARIABLES = "/sys/firmware/efi/efivars"
VENDOR = "5711b0a2-6f5d-4b0c-9d5e-0123456789ab"


class Firmware(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())
        self.stillpoint = product.Stillpoint(self.place)
        self.stillpoint.init()
        self.folder = self.place.vm_folder("uefi")
        path = self.folder / "vda.qcow2"
        images.must("qemu-img", "create", "-q", "-f", "qcow2", path, "64M")
        self.disk = machine.Disk("vda", self.own(path))

    def own(self, path):
        lab.qemu_owns(path)
        return path

    def boot(self, name, variables):
        flash = "if=pflash,format=raw"
        vm = machine.Machine(self.place, name, [self.disk], guest_port=False,
                             files=tiny_guest.extra_modules("efivarfs"),
                             extra=["-drive", f"{flash},unit=0,readonly=on,file={CODE}",
                                    "-drive", f"{flash},unit=1,file={variables}"])
        vm.wait_ready()
        vm.run("for module in /lab/more/efivarfs/*.ko; do insmod $module; done\n"
               "mount -t efivarfs none /sys/firmware/efi/efivars")
        return vm

    def write(self, vm, name):
        # Non-volatile, for boot services and at run time.
        vm.run(f"printf '\\007\\000\\000\\000value of {name}' >{VARIABLES}/{name}-{VENDOR}")

    def read(self, vm):
        """@return {name: value} of the variables that the test made"""
        lines = vm.run(f"cd {VARIABLES}; for file in *-{VENDOR}; do\n"
                       f"echo ${{file%-{VENDOR}}}=$(tail -c +5 $file); done").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def test_variables_come_back(self):
        variables = self.folder / "vars.fd"
        shutil.copy(CODE.with_name("OVMF_VARS_4M.fd"), variables)
        vm = self.boot("uefi1", self.own(variables))
        self.write(vm, "Before")
        vm.run("dd if=/dev/zero bs=1M count=1 | tr '\\000' x | dd of=/dev/vda bs=1M oflag=direct")
        running = self.stillpoint.backup(product.access_of(vm), expect=3)
        self.write(vm, "After")
        vm.power_off()
        off = self.stillpoint.backup(["uefi1", "--image", f"vda={self.disk.path}", "--nvram",
                                      variables], expect=3)
        for point, names in ((running, ["Before"]), (off, ["After", "Before"])):
            self.assertEqual([warning for warning in point["warnings"]
                              if warning["code"] == "configuration.not_taken"], [])
            back = self.place.vm_folder(f"back-{point['point']}")
            self.stillpoint.run("restore", point["point"], "--to", back)
            if point is off and lab.length() == "fast":  # a boot takes 15 s
                self.assertEqual((back / "nvram.fd").read_bytes(), variables.read_bytes())
                continue
            self.disk.path = self.own(back / "vda.qcow2")
            vm = self.boot(f"again-{names[0]}", self.own(back / "nvram.fd"))
            self.assertEqual(self.read(vm), {name: f"value of {name}" for name in names})
            self.assertEqual(vm.run("head -c 4 /dev/vda"), "xxxx")
            vm.kill()


if __name__ == "__main__":
    if not CODE.exists():
        lab.skip("ovmf is not installed")
    lab.enter()
    unittest.main(verbosity=2)
