"""Launches QEMU on the tiny guest and talks to it: QMP, console, and a shell in the guest."""
import base64
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import threading
import time

import lab
import tiny_guest

BOOT_SECONDS = 240  # 4 s alone, far more when both cores are taken
COMMAND_SECONDS = 240  # as for the boot
# no_timer_check: a kernel that is starved while it boots takes its timer for broken and panics.
KERNEL_ARGUMENTS = ("console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on"
                    " no_timer_check")


@dataclasses.dataclass
class Disk:
    """A disk of a machine: `name` is the qdev id and what Stillpoint calls it."""
    name: str
    path: pathlib.Path
    format: str = "qcow2"
    options: str = ""  # more -blockdev options of the format node
    device: str = ""  # more options of the -device
    file_driver: str = "file"  # host_device for block devices
    tiny: bool = False  # too small for the usual writes


class QmpError(RuntimeError):
    """QEMU refused a command; the text is its own."""


class LineSocket:
    """A connected unix socket read line by line, each wait with a deadline."""

    def __init__(self, connection):
        self.socket = connection
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _fill(self, deadline):
        if deadline.passed():
            raise TimeoutError("no answer in time")
        self.socket.settimeout(deadline.left())
        received = self.socket.recv(1 << 16)
        if not received:
            raise EOFError("the other side closed the connection")
        self.buffer += received

    def line(self, deadline):
        while b"\n" not in self.buffer:
            self._fill(deadline)
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def exactly(self, count, deadline):
        while len(self.buffer) < count:
            self._fill(deadline)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data


class Console(threading.Thread):
    """Collects what the guest prints on its serial port."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection = connection
        self.text = ""
        self.ended = False
        self.changed = threading.Condition()

    def run(self):
        while True:
            try:
                data = self.connection.recv(4096)
            except OSError:  # the test ended and closed it
                data = b""
            with self.changed:
                self.text += data.decode(errors="replace")
                self.ended = not data
                self.changed.notify_all()
            if not data:
                return

    def wait_for(self, marker, seconds):
        with self.changed:
            found = self.changed.wait_for(lambda: marker in self.text or self.ended, seconds)
            if not found or marker not in self.text:
                raise TimeoutError(f"no {marker!r} on the console in {seconds} s:\n"
                                   + self.text[-3000:])


class Machine:
    """One running VM.

    Unix sockets in `folder`: qmp.sock for the product, guest.sock for the extension's port
    org.stillpoint.guest.0. The test has a monitor and a control port of its own.
    """

    def __init__(self, place, name, disks, *, files=None, main=None, memory_mib=256,
                 guest_port=True, extra=()):
        """@param files {path in the guest: bytes or host path} to add to the initramfs
        @param main shell text that the guest's process 1 runs before it obeys the test"""
        self.place, self.name, self.disks = place, name, disks
        self.folder = place.vm_folder(name)
        self.qmp_socket = self.folder / "qmp.sock"
        self.guest_socket = self.folder / "guest.sock"
        self.memory_mib, self.guest_port, self.extra = memory_mib, guest_port, list(extra)
        self.events = []
        self.started_at = time.monotonic()
        files = dict(files or {})
        if main is not None:
            files["lab/main.sh"] = main.encode()
        self._start(files)

    def _write_initramfs(self, files):
        base = pathlib.Path(os.environ[lab.GUEST])
        # Copies: QEMU's user may not reach the cache below somebody's home.
        shutil.copy(base / "vmlinuz", self.folder)
        (self.folder / "initramfs").write_bytes(
            (base / "initramfs").read_bytes() + tiny_guest.archive(files))

    def _start(self, files):
        self._write_initramfs(files)
        listeners = {name: self._listen(name) for name in ("monitor", "console", "control")}
        self.process = self.place.spawn(*lab.unprivileged(), *self._command(),
                                        log=f"{self.name}.qemu.log")
        self.monitor = self._accept(listeners["monitor"], "monitor")
        self._accept_ports(listeners)
        try:
            self.monitor.line(lab.Deadline(BOOT_SECONDS))  # QMP's greeting
            self.qmp("qmp_capabilities")
        except OSError:
            raise RuntimeError(f"QEMU did not start: {self.log()}") from None

    def _accept_ports(self, listeners):
        self.console = Console(self._accept(listeners["console"], "console").socket)
        self.console.start()
        self.control = self._accept(listeners["control"], "control port")

    def _listen(self, name):
        path = self.folder / f"{name}.sock"
        path.unlink(missing_ok=True)  # of an earlier run of the same machine
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen(1)
        return listener

    def _accept(self, listener, what):
        listener.settimeout(BOOT_SECONDS)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            raise RuntimeError(f"QEMU did not open its {what}: {self.log()}") from None
        finally:
            listener.close()
        connection.settimeout(None)
        return self.place.closing.enter_context(LineSocket(connection))

    def log(self):
        """What QEMU itself said."""
        return (self.place.folder / f"{self.name}.qemu.log").read_text()

    def _command(self):
        command = ["qemu-system-x86_64", "-name", self.name, "-nodefaults", "-display", "none",
                   "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "1",
                   "-m", str(self.memory_mib), "-no-reboot",
                   "-kernel", self.folder / "vmlinuz", "-initrd", self.folder / "initramfs",
                   "-append",
                   KERNEL_ARGUMENTS,
                   "-device", "virtio-serial-pci,id=vserial"]
        for name, device in (("console", "isa-serial"),
                             ("control", "virtserialport,name=lab.control")):
            command += ["-chardev", f"socket,id={name},path={self.folder}/{name}.sock",
                        "-device", f"{device},chardev={name}"]
        command += ["-chardev", f"socket,id=monitor,path={self.folder}/monitor.sock",
                    "-mon", "chardev=monitor,mode=control"]
        command += ["-chardev", f"socket,id=qmp,path={self.qmp_socket},server=on,wait=off",
                    "-mon", "chardev=qmp,mode=control"]
        if self.guest_port:
            command += ["-chardev",
                        f"socket,id=guest,path={self.guest_socket},server=on,wait=off", "-device",
                        "virtserialport,chardev=guest,name=org.stillpoint.guest.0,id=guestport"]
        for disk in self.disks:
            command += ["-blockdev", f"driver=file,node-name={disk.name}-file,"
                        f"filename={disk.path},discard=unmap",
                        "-blockdev", f"driver={disk.format},node-name={disk.name}-format,"
                        f"file={disk.name}-file,discard=unmap" + disk.options,
                        "-device", f"virtio-blk-pci,id={disk.name},drive={disk.name}-format,"
                        f"serial={disk.name}-serial"]
        return [*map(str, command), *self.extra]

    def qmp(self, command, seconds=30, **arguments):
        """Runs a QMP command on the test's own monitor; events are kept in `events`."""
        message = {"execute": command, "arguments": arguments}
        self.monitor.socket.sendall(json.dumps(message).encode() + b"\n")
        deadline = lab.Deadline(seconds)
        while True:
            answer = json.loads(self.monitor.line(deadline))
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_ready(self):
        """Waits until the guest obeys; @return seconds since QEMU was started"""
        self.console.wait_for("LAB READY", BOOT_SECONDS)
        return time.monotonic() - self.started_at

    def run(self, script, seconds=COMMAND_SECONDS, check=True):
        """Runs a shell script in the guest. @return its output, or (status, output) unless check"""
        self.control.socket.sendall(base64.b64encode(script.encode()) + b"\n")
        deadline = lab.Deadline(seconds)
        status, size = map(int, self.control.line(deadline).split())
        output = self.control.exactly(size, deadline).decode(errors="replace")
        if not check:
            return status, output
        if status != 0:
            raise RuntimeError(f"guest: status {status} of {script!r}:\n{output}")
        return output

    @property
    def pid(self):
        return self.process.pid

    def state(self):
        """@return "running", "paused" or "shut off" """
        if self.process.poll() is not None:
            return "shut off"
        return "running" if self.qmp("query-status")["running"] else "paused"

    def pause(self):
        self.qmp("stop")

    def resume(self):
        self.qmp("cont")

    def wait_end(self, seconds=30):
        self.process.wait(seconds)

    def power_off(self, seconds=30):
        """Asks the guest's own shell to power off and waits for QEMU's end."""
        self.control.socket.sendall(base64.b64encode(b"sync; poweroff -f") + b"\n")
        self.wait_end(seconds)

    def kill(self):
        """Pulls the plug: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def quit(self, seconds=30):
        """Ends QEMU in an orderly way (bitmaps are stored); the guest is not asked."""
        try:
            self.qmp("quit")
        except EOFError:
            pass
        self.process.wait(seconds)


def connect(path, seconds=10):
    """@return a LineSocket to a unix socket that somebody serves"""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(seconds)
    client.connect(str(path))
    return LineSocket(client)
