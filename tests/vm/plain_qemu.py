"""A paused QEMU without a guest: seconds faster than a boot, and the test makes every write."""
import json
import socket

import images
import lab


class PlainQemu:
    """Disks are given as machine.Disk. `qmp_socket` is the product's monitor."""

    def __init__(self, place, name, disks, *, extra=()):
        self.place, self.name, self.disks = place, name, disks
        self.folder = place.vm_folder(name)
        self.qmp_socket = self.folder / "qmp.sock"
        self.guest_port = False
        command = ["qemu-system-x86_64", "-name", name, "-S", "-nodefaults", "-display", "none",
                   "-machine", "q35,accel=tcg", "-m", "64"]
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / "monitor.sock"))
        (self.folder / "monitor.sock").chmod(0o777)
        listener.listen(1)
        command += ["-chardev", f"socket,id=monitor,path={self.folder}/monitor.sock", "-mon",
                    "chardev=monitor,mode=control", "-chardev",
                    f"socket,id=qmp,path={self.qmp_socket},server=on,wait=off", "-mon",
                    "chardev=qmp,mode=control"]
        for disk in disks:
            command += ["-blockdev", f"driver={disk.file_driver},node-name={disk.name}-file,"
                        f"filename={disk.path},discard=unmap",
                        "-blockdev", f"driver={disk.format},node-name={disk.name}-format,"
                        f"file={disk.name}-file,discard=unmap" + disk.options,
                        "-device", f"virtio-blk-pci,id={disk.name},drive={disk.name}-format,"
                        f"serial={disk.name}-serial" + disk.device]
        self.process = place.spawn(*lab.unprivileged(), *command, *extra, log=f"{name}.qemu.log")
        listener.settimeout(30)
        self.connection, _ = listener.accept()
        listener.close()
        place.closing.callback(self.connection.close)
        self.monitor = self.connection.makefile("rw")
        place.closing.callback(self.monitor.close)
        json.loads(self.monitor.readline())
        self.qmp("qmp_capabilities")

    def qmp(self, command, **arguments):
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def io(self, disk, what):
        """A write of the "guest", through the device's backend and its bitmaps."""
        device = f"/machine/peripheral/{disk}/virtio-backend"
        self.qmp("human-monitor-command",
                 **{"command-line": f'qemu-io -d {device} "{what}"'})

    def picture(self, target):
        """Flat copies of all disks as they are now. @return {name: path}"""
        target.mkdir()
        for disk in self.disks:
            self.io(disk.name, "flush")  # QEMU keeps qcow2's tables in memory until then
            images.must("qemu-img", "convert", "-U", "-f", disk.format, "-O", "raw", disk.path,
                        target / f"{disk.name}.raw")
        return {disk.name: target / f"{disk.name}.raw" for disk in self.disks}

    def leftovers(self):
        """What a backup may have left in QEMU: jobs, exports, nodes that the test did not make."""
        own = {f"{disk.name}-{part}" for disk in self.disks for part in ("file", "format")}
        # "#block…" are QEMU's own, such as a qcow2's data file.
        nodes = {node["node-name"] for node in self.qmp("query-named-block-nodes")
                 if not node["node-name"].startswith("#block")} - own
        jobs = self.qmp("query-jobs")
        exports = self.qmp("query-block-exports")
        return sorted(nodes), jobs, exports

    def bitmaps(self, disk):
        for node in self.qmp("query-named-block-nodes"):
            if node["node-name"] == f"{disk}-format":
                return node.get("dirty-bitmaps", [])
        return []

    def quit(self):
        self.qmp("quit")
        self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(30)
