"""Programs of Debian packages for a guest: fetched and unpacked, never installed on this machine.

    base()      the cached folder with everything in PACKAGES, made first where needed (about 25 MiB
                of downloads, once per version); needs the network
    enter()     like lab.enter(), with those programs where they can be had
    files(...)  {path in the guest: host path} of some of them and the libraries they load
"""
import hashlib
import os
import pathlib
import re
import shutil
import tempfile

import lab
import tiny_guest

UNPACKED = "STILLPOINT_LAB_PACKAGES"
PACKAGES = ["qemu-guest-agent", "lvm2", "cryptsetup-bin", "acl"]
# Of no use in a guest that nobody logs in to.
LEFT_OUT = {"debconf", "dpkg", "perl-base", "systemd", "init-system-helpers"}
NOT_UNPACKED = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"]
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
LOADER = "lib64/ld-linux-x86-64.so.2"


def offered_versions(names):
    """@return "Package: …" and "Version: …" of each as apt offers it, one per line"""
    shown = tiny_guest.run("apt-cache", "show", "--no-all-versions", *names)
    return "\n".join(re.findall(r"^(?:Package|Version): .*", shown, re.MULTILINE))


def wanted(scratch, names, left_out):
    """@return ["name=version"] of all that a machine with nothing installed would need"""
    (scratch / "status").touch()
    listed = tiny_guest.run(
        "apt-get", "-qq", "--print-uris", "--no-install-recommends", "-o",
        f"Dir::State::status={scratch}/status", "-o", f"Dir::Cache={scratch}/cache", "-o",
        "Debug::NoLocking=1", "install", *names)
    packages = []
    for line in listed.splitlines():
        name, version = line.split()[1].split("_")[:2]
        if name not in left_out:
            packages.append(f"{name}={version.replace('%3a', ':')}")
    return packages


def unpack(scratch, names, left_out):
    """@return a folder below `scratch` that holds the packages and what they depend on"""
    os.chmod(scratch, 0o755)  # apt's own user looks into it
    debs, root = scratch / "debs", scratch / "root"
    debs.mkdir()
    root.mkdir()
    tiny_guest.run("apt-get", "-qq", "download", *wanted(scratch, names, left_out), cwd=debs)
    for deb in sorted(debs.iterdir()):
        tiny_guest.run("dpkg-deb", "-x", str(deb), str(root))
    for folder in NOT_UNPACKED:
        shutil.rmtree(root / folder, ignore_errors=True)
    return root


def with_fresh_lists(action):
    """Does it again after apt-get update: a package list may be missing, or older than the
    mirror."""
    try:
        return action()
    except RuntimeError:
        tiny_guest.run("apt-get", "update")
        return action()


def base():
    """@return the folder with the unpacked packages; raises RuntimeError when it cannot be made"""
    versions = with_fresh_lists(lambda: offered_versions(PACKAGES))
    recipe = versions.encode() + pathlib.Path(__file__).read_bytes()
    folder = tiny_guest.cache_folder() / ("packages-" + hashlib.sha256(recipe).hexdigest()[:12])

    def make():
        with tempfile.TemporaryDirectory() as scratch:
            root = unpack(pathlib.Path(scratch), PACKAGES, LEFT_OUT)
            shutil.rmtree(f"{folder}.partial", ignore_errors=True)
            shutil.copytree(root, f"{folder}.partial", symlinks=True)
            os.replace(f"{folder}.partial", folder)

    with tiny_guest.locked(tiny_guest.cache_folder() / "packages.lock"):
        if not folder.exists():
            with_fresh_lists(make)
    return folder


def enter():
    """Where the packages cannot be fetched, files() has none of their programs."""
    if UNPACKED not in os.environ:
        try:
            os.environ[UNPACKED] = str(base())
        except RuntimeError as error:
            print(f"no programs of packages: {error}", flush=True)
            os.environ[UNPACKED] = ""
    lab.enter()


def files(*programs):
    """@param programs as the packages hold them, e.g. "sbin/lvm"; in the guest they are in
    /lab/bin. @return {path in the guest: host path}; empty where there are no packages"""
    if not os.environ.get(UNPACKED):
        return {}
    root = pathlib.Path(os.environ[UNPACKED])
    loader = root / LIBRARIES[0] / pathlib.Path(LOADER).name
    search = ":".join(str(root / folder) for folder in LIBRARIES)
    found = {LOADER: loader}
    for program in programs:
        found[f"lab/bin/{pathlib.Path(program).name}"] = root / program
        for line in tiny_guest.run(loader, "--library-path", search, "--list",
                                   root / program).splitlines():
            if "not found" in line:
                raise RuntimeError(f"{program}: {line.strip()}")
            path = re.search(re.escape(str(root)) + r"/(\S+)", line)
            if path:
                found[path.group(1)] = root / path.group(1)
    return found


if __name__ == "__main__":
    print(base())
