"""A gate in front of a VM's QMP socket that holds one command back: it stops a backup at a moment
that no clock could hit, for example between the freeze and the snapshot.

Runs as QEMU's user, because Stillpoint gives its scratch files to whoever serves the socket.
"""
import pathlib
import select
import socket
import subprocess
import sys

import lab


class Gate:
    """`socket` is the path to give to the product; `held` waits until `command` came."""

    def __init__(self, place, vm, command):
        folder = place.vm_folder("gate")
        self.socket = folder / f"{sum(1 for _ in folder.iterdir())}.sock"
        # The text, not the file: QEMU's user may not reach a checkout below somebody's home.
        program = pathlib.Path(__file__).read_text(encoding="utf-8").partition("# --- relay\n")[2]
        self.process = subprocess.Popen(
            [*lab.unprivileged(), sys.executable, "-c", program, str(self.socket),
             str(vm.qmp_socket), command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        place.children.append(self.process)
        place.closing.callback(self.process.stdin.close)
        place.closing.callback(self.process.stdout.close)
        self._line("listening")

    def held(self, seconds=60):
        self._line("held", seconds)

    def let_go(self):
        """Passes on what was held."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def _line(self, wanted, seconds=30):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline().strip() if ready else "nothing"
        if line != wanted:
            raise TimeoutError(f"the gate said {line!r}, not {wanted!r}")


# --- relay
import select
import socket
import sys


def relay(product, qemu, command):
    """Passes bytes both ways until one side ends; holds the line with `command` until told."""
    holding = False
    held = b""
    while True:
        watched = [qemu] if holding else [product, qemu]
        poller = select.poll()
        for side in watched:
            poller.register(side, select.POLLIN)
        if holding:  # only its end is of interest
            poller.register(product, select.POLLRDHUP | select.POLLHUP)
            poller.register(sys.stdin, select.POLLIN)
        for fd, events in poller.poll():
            if fd == sys.stdin.fileno():
                if not sys.stdin.readline():  # the test is over
                    return
                qemu.sendall(held)
                holding, command = False, ""
                break
            if holding and fd == product.fileno():
                return
            source, sink = (product, qemu) if fd == product.fileno() else (qemu, product)
            data = source.recv(1 << 16)
            if not data:
                return
            if source is product and command and f'"{command}"'.encode() in data:
                holding, held = True, data
                print("held", flush=True)
                break
            sink.sendall(data)


def serve(path, upstream, command):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    print("listening", flush=True)
    while True:
        product, _ = listener.accept()
        qemu = socket.socket(socket.AF_UNIX)
        qemu.connect(upstream)
        try:
            relay(product, qemu, command)
        except ConnectionError:
            pass
        command = ""  # held once; what comes later (the keeper) passes
        product.close()
        qemu.close()


if len(sys.argv) == 4 and sys.argv[0] == "-c":
    serve(*sys.argv[1:])
