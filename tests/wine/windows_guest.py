"""The shipped stillpoint-guest.exe under Wine beside a VM: a pseudo terminal is its virtio port,
the double of vssapi.dll its VSS.

The host's plugin speaks to a unix socket, as QEMU would offer it; a relay carries the bytes.
"""
import fcntl
import os
import pathlib
import pty
import selectors
import shutil
import socket
import subprocess
import sys
import termios
import threading
import time
import tty

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vm"))
import lab  # noqa: E402  (found by the line above)

PORT = "org.stillpoint.guest.0"
RUN = HERE / "wine-run.sh"


def build_folder():
    return pathlib.Path(os.environ.get("STILLPOINT_WINDOWS_BUILD") or lab.ROOT / "build-windows")


def prefix():
    return build_folder() / "wine-prefix"


def environment(**more):
    return os.environ | {"STILLPOINT_WINE_PREFIX": str(prefix())} | more


def make_ready():
    """The prefix exists, and no server of it runs outside the lab. Call before lab.enter."""
    if lab.INSIDE in os.environ:
        return
    if shutil.which("wine") is None:
        sys.exit("Wine is not installed: run packaging/install-deps.sh")
    if not (prefix() / "ready").exists():
        subprocess.run([RUN, "cmd.exe", "/c", "exit"], env=environment(), check=True, timeout=300)
    stop_wine()


def stop_wine():
    """Ends Wine's server, which writes the registry: one that is killed with the lab would leave
    what was there before, a service for example that was removed since."""
    for word in ("-k", "-w"):
        subprocess.run(["wineserver", word], check=False, timeout=60,
                       env=os.environ | {"WINEPREFIX": str(prefix())})


def kind(name):
    """The bytes by which a message of this kind is known on the wire."""
    return b"kind" + bytes([0x60 + len(name)]) + name.encode()


class Relay:
    """Carries bytes between one client of a unix socket and the terminal that Windows opens."""

    def __init__(self, place):
        self.path = place.folder / "guest.sock"
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        link = prefix() / "dosdevices/global" / PORT
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self.slave))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(8)
        self.lost = set()  # kinds of messages that never arrive
        self.at = {}  # kind -> what is done, once, before such a message is passed on
        self.hung_up = False  # set by such an act: the host loses the guest after the message
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            with client, selectors.DefaultSelector() as ready:
                ready.register(client, selectors.EVENT_READ)
                ready.register(self.master, selectors.EVENT_READ)
                while self.carry(client, ready):
                    pass

    def carry(self, client, ready):
        for key, _ in ready.select():
            try:
                if key.fileobj is client:
                    data = client.recv(65536)
                    going_on = bool(data) and self.pass_on(
                        data, lambda piece: os.write(self.master, piece))
                else:
                    going_on = self.pass_on(os.read(self.master, 65536), client.sendall)
            except OSError:
                return False
            if not going_on:
                return False
        return True

    def say(self, data):
        """Tells the guest something in between. @return when it has read it"""
        os.write(self.master, data)
        deadline = lab.Deadline(20)
        while any(fcntl.ioctl(self.slave, termios.FIONREAD, bytes(4))):
            if deadline.passed():
                raise AssertionError("the guest does not read")

    def pass_on(self, data, write):
        """@return False: the connection ends here"""
        for name in [name for name in self.at if kind(name) in data]:
            self.at.pop(name)(data)
        if not any(kind(name) in data for name in self.lost):
            write(data)
        hung_up, self.hung_up = self.hung_up, False
        return not hung_up


class WindowsGuest:
    """The extension in a console, with a script for the double."""

    def __init__(self, place, script="", *, program=None):
        self.place = place
        self.folder = place.folder / "vss"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "script.txt").write_text(script)
        (self.folder / "log.txt").unlink(missing_ok=True)
        self.started_before = self.started()
        self.process = place.spawn(RUN, program or build_folder() /
                                   "guest-windows/stillpoint-guest.exe", "run", log="guest.log",
                                   env=environment(VSS_DOUBLE=f"Z:{self.folder}"))

    def calls(self):
        """What VSS was asked, one call a line; empty when the double was never loaded."""
        log = self.folder / "log.txt"
        return log.read_text().splitlines() if log.exists() else []

    def await_call(self, text, seconds=20):
        """Until VSS was asked for something. @return the call's whole line"""
        deadline = lab.Deadline(seconds)
        while not (found := [call for call in self.calls() if text in call]):
            if deadline.passed():
                raise AssertionError(f"no {text} after {seconds} s: {self.calls()}")
            time.sleep(0.05)
        return found[0]

    def log(self):
        log = self.place.folder / "guest.log"
        return log.read_text() if log.exists() else ""

    def started(self):
        return self.log().count("started version=")

    def await_start(self, seconds=60):
        deadline = lab.Deadline(seconds)
        while self.started() == self.started_before:
            if deadline.passed():
                raise AssertionError(f"not started after {seconds} s: {self.log()}")
            time.sleep(0.05)

    def end(self):
        self.process.kill()
        self.process.wait(20)


SYSTEM_DLL = "drive_c/windows/system32/vssapi.dll"


def install_double():
    """In the system's folder, the only one that the extension loads VSS from."""
    own = prefix() / (SYSTEM_DLL + ".own")
    if not own.exists():
        shutil.copy(prefix() / SYSTEM_DLL, own)
    shutil.copy(build_folder() / "tests/wine/vssapi.dll", prefix() / SYSTEM_DLL)


def remove_double():
    own = prefix() / (SYSTEM_DLL + ".own")
    if own.exists():
        shutil.copy(own, prefix() / SYSTEM_DLL)
