"""The tiny guest as a libvirt domain, with the same interface as machine.Machine."""
import json
import os
import select
import xml.etree.ElementTree as ElementTree

import images
import lab
import machine

UUID = "5711b0a2-6f5d-4b0c-9d5e-0123456789ab"

DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{folder}/vmlinuz</kernel>
    <initrd>{folder}/initramfs</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <cpu mode='maximum'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {disks}
    <controller type='virtio-serial' index='0'/>
    <serial type='unix'><source mode='connect' path='{folder}/console.sock'/></serial>
    <channel type='unix'>
      <source mode='connect' path='{folder}/control.sock'/>
      <target type='virtio' name='lab.control'/>
    </channel>
    {guest_port}
    <memballoon model='none'/>
  </devices>
</domain>"""

DISK = """<disk type='file' device='disk'>
      <driver name='qemu' type='{format}' discard='unmap'/>
      <source file='{path}'/><target dev='{name}' bus='virtio'/><serial>{name}-serial</serial>
    </disk>"""

GUEST_PORT = "<channel type='unix'><target type='virtio' name='org.stillpoint.guest.0'/></channel>"


class Domain(machine.Machine):
    """One running domain. The test's monitor is `virsh qemu-monitor-command`."""

    def _start(self, files):
        self._write_initramfs(files)
        disks = "".join(DISK.format(**vars(disk)) for disk in self.disks)
        xml = DOMAIN.format(name=self.name, uuid=UUID, memory_mib=self.memory_mib,
                            folder=self.folder, cmdline=machine.KERNEL_ARGUMENTS, disks=disks,
                            guest_port=GUEST_PORT if self.guest_port else "")
        definition = self.folder / "domain.xml"
        definition.write_text(xml)
        listeners = {name: self._listen(name) for name in ("console", "control")}
        images.must("virsh", "define", definition)
        images.must("virsh", "start", self.name)
        self.place.closing.callback(self._destroy)
        self._accept_ports(listeners)

    def begin_again(self):
        """Starts the domain that was shut off, as it is defined; it boots afterwards."""
        listeners = {name: self._listen(name) for name in ("console", "control")}
        images.must("virsh", "start", self.name)
        self._accept_ports(listeners)

    def start_again(self):
        self.begin_again()
        self.wait_ready()

    def _destroy(self):
        images.command("virsh", "destroy", self.name)
        images.command("virsh", "undefine", self.name, "--checkpoints-metadata")

    def live_xml(self):
        return ElementTree.fromstring(images.must("virsh", "dumpxml", self.name))

    @property
    def pid(self):
        with open(f"/run/libvirt/qemu/{self.name}.pid", encoding="ascii") as file:
            return int(file.read())

    def log(self):
        with open(f"/var/log/libvirt/qemu/{self.name}.log", encoding="utf-8") as file:
            return file.read()

    def qmp(self, command, seconds=30, **arguments):
        message = json.dumps({"execute": command, "arguments": arguments})
        answer = json.loads(images.must("virsh", "qemu-monitor-command", self.name, message))
        if "error" in answer:
            raise machine.QmpError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def state(self):
        return images.must("virsh", "domstate", self.name).strip()

    def pause(self):
        images.must("virsh", "suspend", self.name)

    def resume(self):
        images.must("virsh", "resume", self.name)

    def wait_end(self, seconds=30):
        """Until QEMU is gone and libvirt has noticed, which takes it a moment."""
        deadline = lab.Deadline(seconds)
        try:
            qemu = os.pidfd_open(self.pid)
            select.select([qemu], [], [], deadline.left())
            os.close(qemu)
        except (ProcessLookupError, FileNotFoundError):
            pass  # gone already
        while self.state() != "shut off":
            if deadline.passed():
                raise TimeoutError(f"{self.name} still runs")

    def kill(self):
        images.must("kill", "-9", self.pid)
        self.wait_end()

    def quit(self, seconds=30):
        images.must("virsh", "destroy", self.name)
