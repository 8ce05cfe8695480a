"""A paused libvirt domain without a guest, with the interface of plain_qemu.PlainQemu."""
import json
import xml.etree.ElementTree as ElementTree

import libvirt
import libvirt_qemu

import images
import lab

UUID = "5711b0a2-6f5d-4b0c-9d5e-00000000{:04x}"

DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    {disks}
    <memballoon model='none'/>
  </devices>
</domain>"""

DISK = """<disk type='{kind}' device='disk'>
  <driver name='qemu' type='{format}' discard='unmap'/>
  <source {source}='{path}'/>
  <target dev='{name}' bus='{bus}'/><serial>{serial}</serial>
</disk>"""


def disk_xml(disk):
    block = disk.file_driver == "host_device"
    return DISK.format(kind="block" if block else "file", source="dev" if block else "file",
                       format=disk.format, path=disk.path, name=disk.name,
                       bus="scsi" if disk.name.startswith("sd") else "virtio",
                       serial=f"{disk.name}-serial")


class PausedDomain:
    """Disks are given as machine.Disk, named as libvirt does (vda, sda).
    `uri` is the daemon that has it, which a migration changes."""
    uri = "qemu:///system"

    def __init__(self, place, name, disks, *, uuid=UUID.format(1), transient=False, xml=None):
        self.place, self.name, self.disks = place, name, list(disks)
        self.connection, self.devices = None, {}
        self.definition = place.vm_folder(name) / "domain.xml"
        text = xml or DOMAIN.format(name=name, uuid=uuid, disks="".join(map(disk_xml, disks)))
        self.definition.write_text(text)
        place.closing.callback(self.remove)
        if transient:
            self.virsh("create", self.definition, "--paused")
        else:
            self.define()
            self.start()

    def virsh(self, command, *words):
        return images.must("virsh", "-c", self.uri, command, *words)

    def define(self):
        self.virsh("define", self.definition)

    def start(self):
        self.virsh("start", self.name, "--paused")

    def live_xml(self):
        return ElementTree.fromstring(self.domain().XMLDesc())

    def domain(self):
        """libvirt's object: faster by far than a virsh for each of many writes."""
        if self.connection is None or not self.connection.isAlive():
            self.connection = libvirt.open(self.uri)
        return self.connection.lookupByName(self.name)

    def qmp(self, command, **arguments):
        message = json.dumps({"execute": command, "arguments": arguments})
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(self.domain(), message, 0))
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def io(self, disk, what):
        """A write of the "guest", through the device's backend and its bitmaps."""
        if disk not in self.devices:
            self.devices[disk] = self.device(disk)
        self.qmp("human-monitor-command",
                 **{"command-line": f'qemu-io -d {self.devices[disk]} "{what}"'})

    def device(self, disk):
        for element in self.live_xml().iter("disk"):
            if element.find("target").get("dev") == disk:
                alias = element.find("alias").get("name")
                scsi = disk.startswith("sd")
                return alias if scsi else f"/machine/peripheral/{alias}/virtio-backend"
        raise KeyError(disk)

    def attach(self, disk):
        path = self.definition.with_name(f"{disk.name}.xml")
        path.write_text(disk_xml(disk))
        self.virsh("attach-device", self.name, path, "--live", "--config")
        self.disks.append(disk)
        self.devices.clear()

    def detach(self, disk):
        """Only SCSI disks: the others wait for a guest's consent."""
        self.virsh("detach-disk", self.name, disk.name, "--live", "--config")
        self.disks.remove(disk)

    def checkpoints(self):
        return set(self.virsh("checkpoint-list", self.name, "--name").split())

    def quit(self):
        self.virsh("destroy", self.name, "--graceful")

    def migrate(self, uri, sockets, *options):
        """Live; it stays defined here. @param sockets a folder for QEMU's"""
        self.virsh("resume", self.name)  # a paused VM's images would stay inactive over there
        self.virsh("migrate", "--live", "--unsafe", "--persistent", self.name, uri,
                   "--migrateuri", f"unix://{sockets}/migration.sock", *options)
        self.uri, self.connection = uri, None
        self.devices.clear()
        self.virsh("suspend", self.name)

    def kill(self):
        with open(f"/run/libvirt/qemu/{self.name}.pid", encoding="ascii") as file:
            images.must("kill", "-9", file.read())
        deadline = lab.Deadline(30)
        while self.virsh("domstate", self.name).strip() != "shut off":
            if deadline.passed():
                raise TimeoutError(f"{self.name} still runs")

    def remove(self):
        images.command("virsh", "destroy", self.name)
        images.command("virsh", "undefine", self.name, "--checkpoints-metadata",
                       "--snapshots-metadata")
