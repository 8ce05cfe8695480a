"""tracking_case.World behind libvirt: a paused domain, reached as users reach it."""
import os
import select
import shutil
import subprocess
import unittest

import lab
import machine
import paused_domain
import tracking_case


def other_uuid(number=[1]):
    number[0] += 1
    return paused_domain.UUID.format(number[0])


class DomainWorld(tracking_case.World):
    def start(self, names=None, **options):
        self.starts += 1
        here = [self.disks[name] for name in names or self.disks]
        self.vm = paused_domain.PausedDomain(self.place, self.key, here, **options)
        return self.vm

    @property
    def access(self):
        return [self.vm.name, "--connect", self.vm.uri]

    def virsh(self, command, *words):
        return self.vm.virsh(command, *words)

    def node_of(self, name):
        wanted = self.vm.device(name)
        for entry in self.vm.qmp("query-block"):
            if wanted in (entry.get("qdev"), entry.get("qdev", "").split("/")[-1]):
                return entry["inserted"]
        raise KeyError(name)

    def copy_of(self, world):
        """Takes copies of another world's files, which nobody has open."""
        for name, disk in world.disks.items():
            path = self.images / disk.path.name
            shutil.copy(disk.path, path)
            self.disks[name] = machine.Disk(name, path, disk.format)


class DomainTest(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(lab.Lab())

    def world(self, key, **options):
        return DomainWorld(self, self.place, key, **options)


def restart_libvirtd():
    """kill -9 of the lab's daemon, and another one for this and all later tests; domains run on."""
    with open("/run/libvirtd.pid", encoding="ascii") as file:
        pid = int(file.read())
    daemon = os.pidfd_open(pid)
    os.kill(pid, 9)
    select.select([daemon], [], [], 30)
    os.close(daemon)
    os.spawnl(os.P_NOWAIT, os.environ["STILLPOINT_LIBVIRTD"], "libvirtd.sh")
    deadline = lab.Deadline(60)
    while subprocess.run(["virsh", "version"], capture_output=True, check=False).returncode != 0:
        if deadline.passed():
            raise TimeoutError("libvirtd does not come back")
        select.select([], [], [], 0.1)
