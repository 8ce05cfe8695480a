"""The VMs of the soak: no guest, every write is the test's. A plain QEMU or a libvirt domain behind
one interface; both can be killed, started again, and given disks while they run.
"""
import dataclasses
import json
import os
import pathlib
import select
import signal
import xml.etree.ElementTree as ElementTree

import images
import lab
import machine
import plain_qemu

START_SECONDS = 60


@dataclasses.dataclass(eq=False)
class SoakDisk:
    """A disk of the soak: `hot` ones can come and go while the VM runs (SCSI asks no guest)."""
    name: str
    path: pathlib.Path
    format: str = "qcow2"
    cluster: int = 64 << 10  # what a discard must cover to have an effect
    persistent: bool = True  # the format keeps dirty bitmaps while nobody has it open
    hot: bool = False
    shadow: object = None
    plugged: bool = True
    # Vaults without a point since the disk shrank. A growth before would leave no trace at all.
    shrunk_for: set = dataclasses.field(default_factory=set)


class SoakMachine:
    """What both kinds have in common: everything that QMP can do."""

    def entry(self, disk):
        qdev = self.qdev(disk)
        return next(entry for entry in self.qmp("query-block") if entry.get("qdev") == qdev)

    def io(self, disk, *commands):
        for command in (*commands, "flush"):  # so that kill -9 takes nothing with it
            self.hmp(f'qemu-io -d {self.qdev(disk)} "{command}"')

    def node(self, disk):
        return self.entry(disk)["inserted"]["node-name"]

    def bitmaps(self, disk):
        return [item["name"] for item in self.entry(disk)["inserted"].get("dirty-bitmaps", [])]

    def paused(self):
        return not self.qmp("query-status")["running"]

    def exports(self):
        return self.qmp("query-block-exports")

    def traces(self):
        """All that a backup may leave in QEMU."""
        found = [node["node-name"] for node in self.qmp("query-named-block-nodes", flat=True)
                 if not node["node-name"].startswith("#block")]
        found += [str(job) for job in self.qmp("query-jobs")]
        found += [str(export) for export in self.exports()]
        return sorted(found)

    def live_difference(self, disk):
        """Proves the model itself: the live disk holds what the shadow holds."""
        self.io(disk, "flush")
        same, where = images.identical(disk.path, disk.shadow.path, first_format=disk.format,
                                       shared=True)
        return "" if same else where


class PlainMachine(SoakMachine):
    """A QEMU with the test's and the product's monitors."""
    has_service = False
    lost = staticmethod(lambda: "")
    trims_during_backup = True

    def __init__(self, place, uuid):
        self.place, self.uuid, self.vm = place, uuid, None

    @staticmethod
    def blockdev(disk):
        return {"driver": disk.format, "node-name": f"{disk.name}-format", "discard": "unmap",
                "file": {"driver": "file", "node-name": f"{disk.name}-file", "discard": "unmap",
                         "filename": str(disk.path)}}

    @staticmethod
    def device(disk):
        return {"driver": "scsi-hd", "id": disk.name, "drive": f"{disk.name}-format",
                "serial": f"{disk.name}-serial", "bus": "scsi0.0"}

    def start(self, disks, *, paused):
        folder = self.place.vm_folder("soak")
        for name in ("monitor.sock", "qmp.sock"):
            (folder / name).unlink(missing_ok=True)
        extra = ["-device", "virtio-scsi-pci,id=scsi0", "-boot", "strict=on"]
        extra += ["-uuid", self.uuid] if self.uuid else []
        for disk in disks:
            lab.qemu_owns(disk.path)
            if disk.hot:
                extra += ["-blockdev", json.dumps(self.blockdev(disk)),
                          "-device", json.dumps(self.device(disk))]
        fixed = [machine.Disk(disk.name, disk.path, disk.format) for disk in disks if not disk.hot]
        self.vm = plain_qemu.PlainQemu(self.place, "soak", fixed, extra=extra)
        self.vm.connection.settimeout(START_SECONDS)
        if not paused:
            self.qmp("cont")

    @property
    def access(self):
        return ["soak", "--qmp", self.vm.qmp_socket]

    def qmp(self, command, **arguments):
        return self.vm.qmp(command, **arguments)

    def hmp(self, line):
        self.qmp("human-monitor-command", **{"command-line": line})

    def qdev(self, disk):
        return disk.name if disk.hot else f"/machine/peripheral/{disk.name}/virtio-backend"

    def resize(self, disk, size):
        self.qmp("block_resize", **{"node-name": self.node(disk), "size": size})

    def plug(self, disk):
        lab.qemu_owns(disk.path)
        self.qmp("blockdev-add", **self.blockdev(disk))
        self.qmp("device_add", **self.device(disk))

    def unplug(self, disk):
        self.qmp("device_del", id=disk.name)
        deadline = lab.Deadline(START_SECONDS)
        while any(entry.get("qdev") == disk.name for entry in self.qmp("query-block")):
            if deadline.passed():
                raise TimeoutError(f"{disk.name} does not go")
            select.select([], [], [], 0.02)
        self.qmp("blockdev-del", **{"node-name": f"{disk.name}-format"})

    def add_foreign(self, disk, name):
        self.qmp("block-dirty-bitmap-add", node=self.node(disk), name=name,
                 persistent=disk.persistent)

    def stop(self):
        self.vm.quit()

    def kill(self):
        self.vm.kill()


DOMAIN = """<domain type='qemu'>
  <name>soak</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {disks}
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <memballoon model='none'/>
  </devices>
</domain>"""

DISK = """<disk type='file' device='disk'>
      <driver name='qemu' type='{format}' discard='unmap'/>
      <source file='{path}'/><target dev='{name}' bus='{bus}'/><serial>{name}-serial</serial>
    </disk>"""


class LibvirtMachine(SoakMachine):
    """A domain of the lab's own libvirtd, and that daemon."""
    has_service = True
    trims_during_backup = False  # QEMU's backup job drops discards: its filter has no such option

    def __init__(self, place, uuid):
        import libvirt  # pylint: disable=import-outside-toplevel
        import libvirt_qemu  # pylint: disable=import-outside-toplevel
        libvirt.registerErrorHandler(lambda *_: None, None)
        self.libvirt, self.monitor = libvirt, libvirt_qemu.qemuMonitorCommand
        self.place, self.uuid, self.domain = place, uuid, None
        self.live = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
        self.connect()

    def connect(self):
        deadline = lab.Deadline(START_SECONDS)
        while True:
            try:
                self.connection = self.libvirt.open("qemu:///system")
                break
            except self.libvirt.libvirtError:
                if deadline.passed():
                    raise
                select.select([], [], [], 0.05)
        if self.domain is not None:
            self.domain = self.connection.lookupByName("soak")

    @staticmethod
    def disk_xml(disk):
        return DISK.format(name=disk.name, path=disk.path, format=disk.format,
                           bus="scsi" if disk.hot else "virtio")

    def start(self, disks, *, paused):
        self.domain = self.connection.defineXML(
            DOMAIN.format(uuid=self.uuid, disks="".join(map(self.disk_xml, disks))))
        self.domain.createWithFlags(self.libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)

    @property
    def access(self):
        return ["soak", "--connect", "qemu:///system"]

    def qmp(self, command, **arguments):
        answer = json.loads(self.monitor(
            self.domain, json.dumps({"execute": command, "arguments": arguments}), 0))
        if "error" in answer:
            raise machine.QmpError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def hmp(self, line):
        self.monitor(self.domain, line, 1)

    def qdev(self, disk):
        for element in ElementTree.fromstring(self.domain.XMLDesc()).iter("disk"):
            if element.find("target").get("dev") == disk.name:
                alias = element.find("alias").get("name")
                return alias if disk.hot else f"/machine/peripheral/{alias}/virtio-backend"
        raise KeyError(disk.name)

    def resize(self, disk, size):
        self.domain.blockResize(disk.name, size, self.libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def plug(self, disk):
        self.domain.attachDeviceFlags(self.disk_xml(disk), self.live)

    def unplug(self, disk):
        self.domain.detachDeviceFlags(self.disk_xml(disk), self.live)

    def add_foreign(self, disk, name):
        self.qmp("block-dirty-bitmap-add", node=self.node(disk), name=name,
                 persistent=disk.persistent)

    def traces(self):
        job = self.domain.jobInfo()[0]
        return super().traces() + (["a libvirt job"] if job else [])

    def lost(self):
        """What libvirt 9.0 has lost when it was killed inside virDomainBackupBegin (ADR 9): it
        comes back with a job that it knows nothing of, or takes the VM for off while QEMU runs.
        @return a sentence; empty: nothing"""
        try:
            self.domain.jobInfo()
        except self.libvirt.libvirtError as error:
            if "backup job data missing" in str(error):
                return "libvirt lost its job"
            if (error.get_error_code() == self.libvirt.VIR_ERR_OPERATION_INVALID
                    and pathlib.Path(f"/proc/{self.pid()}").exists()):
                return "libvirt lost its VM"
            raise
        return ""

    @staticmethod
    def pid():
        return int(pathlib.Path("/run/libvirt/qemu/soak.pid").read_text())

    def stop(self):
        self.domain.destroyFlags(self.libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)

    def kill(self):
        self.end(self.pid(), signal.SIGKILL)
        deadline = lab.Deadline(START_SECONDS)
        while self.domain.isActive():
            if deadline.passed():
                raise TimeoutError("libvirt has not noticed QEMU's end")
            select.select([], [], [], 0.02)

    @staticmethod
    def end(process, number):
        handle = os.pidfd_open(process)
        os.kill(process, number)
        select.select([handle], [], [], START_SECONDS)
        os.close(handle)

    def restart_service(self, number):
        self.end(int(pathlib.Path("/run/libvirtd.pid").read_text()), number)
        self.place.spawn(os.environ["STILLPOINT_LIBVIRTD"], log="libvirtd.again")
        self.connect()
