"""A disk with programs of Debian packages, unpacked and never configured, for a guest that runs
them in a chroot: an ext4 that nobody writes to, made once per version of the packages and kept.
Making one needs the network."""
import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import guest_packages
import images
import lab
import tiny_guest

# What apt takes for granted in every Debian, and programs and scripts do use.
BASICS = ["base-files", "coreutils", "dash", "grep", "sed", "util-linux", "mount", "procps",
          "findutils"]


@dataclasses.dataclass(frozen=True)
class PackagedDisk:
    """What is on one."""
    name: str
    packages: tuple
    left_out: tuple  # of no use in a guest that nobody logs in to
    mib: int
    users: tuple  # (name, number) of a user and a group
    folders: tuple = ()  # for mounts

    @property
    def variable(self):
        """Of the environment: where it is, for the program inside the lab"""
        return f"STILLPOINT_LAB_{self.name.upper()}"

    def base(self):
        """Makes what is missing. Call it before lab.enter(), because it needs the network.
        @return the folder of the cached disk; raises RuntimeError when it cannot be made"""
        versions = guest_packages.with_fresh_lists(
            lambda: guest_packages.offered_versions(self.packages))
        recipe = b"".join([versions.encode(), repr(self).encode(),
                           pathlib.Path(__file__).read_bytes(),
                           pathlib.Path(guest_packages.__file__).read_bytes()])
        cache = tiny_guest.cache_folder()
        folder = cache / f"{self.name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
        with tiny_guest.locked(cache / f"{self.name}.lock"):
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "programs.raw").exists():
                guest_packages.with_fresh_lists(lambda: self.build(folder / "programs.raw"))
                (folder / "versions").write_text(versions + "\n")
        return folder

    def build(self, target):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            root = guest_packages.unpack(scratch, [*self.packages, *BASICS], set(self.left_out))
            for folder in ("lab", "etc/stillpoint", "var/lib/stillpoint", *self.folders):
                (root / folder).mkdir(parents=True, exist_ok=True)
            shutil.rmtree(root / "var/run", ignore_errors=True)
            (root / "var/run").symlink_to("/run")
            self.write_accounts(root)
            image = scratch / "image"
            with open(image, "wb") as out:
                out.truncate(self.mib * images.MIB)
            # Whoever unpacked it: in the guest all of it belongs to root.
            as_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
            tiny_guest.run(*as_root, "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(root),
                           str(image))
            tiny_guest.run("cp", "--sparse=always", str(image), f"{target}.partial")
            os.replace(f"{target}.partial", target)

    def write_accounts(self, root):
        lines = [f"{name}:x:{number}:{number}::/:/bin/sh" for name, number in self.users]
        (root / "etc/passwd").write_text("\n".join(lines) + "\n")
        lines = [f"{name}:x:{number}:" for name, number in self.users]
        (root / "etc/group").write_text("\n".join(lines) + "\n")

    def enter(self):
        """Like lab.enter(), for a test that starts such a guest; skips where it cannot be made."""
        if self.variable not in os.environ:
            try:
                os.environ[self.variable] = str(self.base())
            except RuntimeError as error:
                lab.skip(f"packages cannot be fetched: {error}")
        lab.enter()

    def folder(self):
        """@return where the cached disk is, inside the lab"""
        return pathlib.Path(os.environ[self.variable])

    def arguments(self, place):
        """@return QEMU's, that add the disk; it follows the others in the guest"""
        # The cache may lie below a home that is closed to QEMU's user.
        folder = place.folder / "programs"
        if not folder.exists():
            folder.mkdir()
            subprocess.run(["mount", "--bind", self.folder(), folder], check=True)
        return ["-blockdev", "driver=file,node-name=programs,read-only=on,locking=off,filename="
                + str(folder / "programs.raw"),
                "-device", "virtio-blk-pci,id=programs,drive=programs"]
