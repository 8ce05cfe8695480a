"""A private place for a test with virtual machines, gone without a trace when the test ends.

`enter()` moves the program into its own mount, network, process and IPC namespaces: it becomes
process 1 there, so the kernel ends every QEMU, libvirtd or backup it started the moment it ends,
whatever the reason. Files live in a tmpfs of that mount namespace, so they vanish too.

    lab.enter()
    with lab.Lab() as place: ...
"""
import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

import tiny_guest

INSIDE = "STILLPOINT_LAB"
GUEST = "STILLPOINT_LAB_GUEST"
SKIP_STATUS = 77
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def skip(reason):
    """Ends the test as skipped; the summary prints the reason."""
    print(f"SKIP: {reason}", flush=True)
    sys.exit(SKIP_STATUS)


def build_folder():
    """Where meson built: given by meson's test environment, else ./build."""
    return pathlib.Path(os.environ.get("STILLPOINT_BUILD") or ROOT / "build")


def length():
    """How thorough this run is: fast, normal or long."""
    return os.environ.get("STILLPOINT_TEST_LENGTH", "normal")


def enter(libvirt=False):
    """Runs the rest of the program inside fresh namespaces; returns only there.
    @param libvirt beside a libvirtd of its own, reached by $LIBVIRT_DEFAULT_URI"""
    if INSIDE in os.environ:
        if os.getpid() == 1:
            prepare_namespace(os.environ[INSIDE])
        return
    # The kernel may have to be fetched, and inside there is no network.
    environment = os.environ | {GUEST: str(tiny_guest.base()), "LC_ALL": "C"}
    program = [sys.executable, "-u", *sys.argv]
    if libvirt:
        os.execve(HERE / "with-libvirt.sh", ["with-libvirt.sh", *program], environment)
    folder = tempfile.mkdtemp(prefix="stillpoint-lab-")
    os.chmod(folder, 0o755)
    command = ["unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child",
               "--mount-proc", "--propagation", "private"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    try:
        done = subprocess.run([*command, *program], env=environment | {INSIDE: folder},
                              check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # 128+N is how shells tell that a signal ended a program.
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


def prepare_namespace(folder):
    """Hides the machine's own daemons behind empty folders of ours."""
    mount("tmpfs", folder, "mode=0755")
    mount("tmpfs", "/run", "mode=0755")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)


def mount(kind, path, options):
    subprocess.run(["mount", "-t", kind, "-o", options, "lab", path], check=True)


def unprivileged():
    """Arguments that make a command run without root's powers; nothing when we are not root.
    Inside a user namespace "root" is already the caller's own user."""
    if os.geteuid() != 0 or pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "1":
        return []
    user = qemu_user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
            "--no-new-privs"]


def qemu_user():
    """The user QEMU runs as: libvirt's own where the package made one, else nobody."""
    try:
        return pwd.getpwnam("libvirt-qemu")
    except KeyError:
        return pwd.getpwnam("nobody")


def qemu_owns(path):
    """Gives a file or folder to QEMU's user."""
    if unprivileged():
        os.chown(path, qemu_user().pw_uid, qemu_user().pw_gid)


class Lab:
    """A fresh folder that all users may read, and the programs that a test started."""

    def __init__(self):
        # Short names: a unix socket's path has 107 bytes at most.
        inside = pathlib.Path(os.environ[INSIDE])
        self.folder = inside / str(1 + sum(path.name.isdigit() for path in inside.iterdir()))
        self.folder.mkdir()
        self.children = []
        self.closing = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            if child.poll() is None:
                child.kill()
                child.wait()
        self.closing.close()

    def vm_folder(self, name):
        """A folder that belongs to QEMU's user."""
        folder = self.folder / name
        folder.mkdir(mode=0o755, exist_ok=True)
        qemu_owns(folder)
        return folder

    def spawn(self, *command, log, **options):
        """Starts a program that lives at most as long as the lab; output goes to folder/log where
        the options (those of Popen) do not say otherwise."""
        with open(self.folder / log, "ab") as out:
            usual = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
            child = subprocess.Popen([str(word) for word in command], **(usual | options))
        self.children.append(child)
        return child


class Deadline:
    """Seconds left until a wait gives up."""

    def __init__(self, seconds):
        self.ends_at = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.ends_at - time.monotonic())

    def passed(self):
        return self.left() == 0.0
