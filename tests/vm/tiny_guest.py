#!/usr/bin/env python3
"""Builds the tiny guest: Debian's cloud kernel and an initramfs of busybox and kernel modules.

`base()` returns the cached kernel and initramfs and makes them first where needed (about 10 s,
once per kernel version). `overlay(files)` makes a second initramfs that a launcher appends, so a
test adds its own programs and scripts without rebuilding anything.

Run as a program it prints the folder of the cached files.
"""
import contextlib
import fcntl
import gzip
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
META_PACKAGE = "linux-image-cloud-amd64"
# ext4 is built into the cloud kernel; these and what they depend on are modules.
MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "xfs", "loop", "vfat",
           "nls_cp437", "nls_ascii", "nls_iso8859_1"]
# Only for tests that ask for them, see extra_modules.
EXTRA_MODULES = ["dm_mod", "dm_crypt", "aes_generic", "ecb", "xts", "btrfs",
                 "algif_skcipher", "efivarfs"]


def run(*command, cwd=None):
    """Runs a command and returns its output; its complaint becomes the exception's text."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def kernel_package():
    """Name and version of the newest cloud kernel that apt knows, for example
    ('linux-image-6.1.0-41-cloud-amd64', '6.1.158-1')."""
    for line in run("apt-cache", "depends", META_PACKAGE).splitlines():
        word, _, name = line.strip().partition("Depends: ")
        if not word and name.startswith("linux-image-"):
            shown = run("apt-cache", "show", "--no-all-versions", name)
            version = next(line.split(": ")[1] for line in shown.splitlines()
                           if line.startswith("Version: "))
            return name, version
    raise RuntimeError(f"apt knows no {META_PACKAGE}: run apt-get update")


def cpio_entry(name, mode, data=b"", device=(0, 0)):
    """One member of a newc archive (Documentation/driver-api/early-userspace/buffer-format)."""
    encoded = name.encode() + b"\0"
    cpio_entry.inode += 1
    numbers = (cpio_entry.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


cpio_entry.inode = 0


def archive(files, devices=()):
    """@param files {path in the guest: bytes, or a host path}; folders are made as needed.
    @return a gzip-compressed newc archive"""
    out, folders = [], set()
    for name in sorted(files):
        parents = list(pathlib.PurePosixPath(name).parents)[-2::-1]
        for folder in map(str, parents):
            if folder not in folders:
                folders.add(folder)
                out.append(cpio_entry(folder, stat.S_IFDIR | 0o755))
        content = files[name]
        if not isinstance(content, bytes):
            content = pathlib.Path(content).read_bytes()
        out.append(cpio_entry(name, stat.S_IFREG | 0o755, content))
    for name, major, minor in devices:
        out.append(cpio_entry(name, stat.S_IFCHR | 0o600, device=(major, minor)))
    out.append(cpio_entry("TRAILER!!!", 0))
    return gzip.compress(b"".join(out), compresslevel=1)


def module_files(modules_folder, names):
    """The .ko files of these modules and their dependencies, in an order that insmod accepts."""
    depends = {}
    for line in (modules_folder / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        depends[path] = needs.split()
    by_name = {pathlib.PurePath(path).stem.replace("-", "_"): path for path in depends}
    ordered = []
    for module in names:
        path = by_name.get(module)
        if path is None:  # built in, or not there: the test finds out
            continue
        # modules.dep lists dependencies nearest first: the farthest must be loaded first.
        for needed in [*reversed(depends[path]), path]:
            if needed not in ordered:
                ordered.append(needed)
    return ordered


def build(folder, package):
    """Makes folder/vmlinuz and folder/initramfs."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        try:
            run("apt-get", "download", package, cwd=scratch)
        except RuntimeError:  # a package list older than the mirror
            run("apt-get", "update")
            run("apt-get", "download", package, cwd=scratch)
        root = scratch / "root"
        run("dpkg", "-x", str(next(scratch.glob("*.deb"))), str(root))
        release = next((root / "lib/modules").iterdir())
        run("depmod", "-b", str(root), release.name)
        modules = module_files(release, MODULES)
        for module in EXTRA_MODULES:
            for index, path in enumerate(module_files(release, [module])):
                if path in modules:
                    continue
                kept = folder / "modules" / module
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy(release / path, kept / f"{index:02}-{pathlib.PurePath(path).name}")
        files = {f"lab/modules/{index:02}-{pathlib.PurePath(path).name}": release / path
                 for index, path in enumerate(modules)}
        files["bin/busybox"] = pathlib.Path(shutil.which("busybox"))
        files["init"] = HERE / "guest/init.sh"
        for name in ("proc", "sys", "dev", "tmp", "run", "mnt/a", "mnt/b", "mnt/c", "mnt/d"):
            files[f"{name}/.keep"] = b""
        devices = [("dev/console", 5, 1), ("dev/null", 1, 3)]
        (folder / "initramfs").write_bytes(archive(files, devices))
        shutil.copy(next((root / "boot").glob("vmlinuz-*")), folder / "vmlinuz")


def extra_modules(*names):
    """@return {path in the guest: host path}; the guest loads none of them by itself"""
    found = {}
    for name in names:
        for path in sorted((base() / "modules" / name).glob("*.ko")):
            found[f"lab/more/{name}/{path.name}"] = path
    return found


def with_libraries(*programs):
    """@return {path in the guest: host path} of programs of this machine and what they load"""
    found = {}
    for program in programs:
        found[f"lab/bin/{pathlib.Path(program).name}"] = pathlib.Path(program)
        for line in run("ldd", program).splitlines():
            path = next((word for word in line.split() if word.startswith("/")), None)
            if path:
                found[path.lstrip("/")] = pathlib.Path(path)
    return found


def cache_folder():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("STILLPOINT_LAB_CACHE") or f"{home}/stillpoint-lab")


@contextlib.contextmanager
def locked(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def base():
    """@return the folder with vmlinuz and initramfs"""
    try:
        package, version = kernel_package()
    except RuntimeError:
        run("apt-get", "update")
        package, version = kernel_package()
    recipe = (HERE / "guest/init.sh").read_bytes() + pathlib.Path(__file__).read_bytes()
    key = f"{package}-{version}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    folder = cache_folder() / key
    with locked(cache_folder() / "lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(folder, package)
            (folder / "complete").touch()
    return folder


if __name__ == "__main__":
    sys.exit(print(base()))
