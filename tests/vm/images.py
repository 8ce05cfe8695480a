"""Disk images made and examined on the host, without mounting anything."""
import json
import subprocess

import lab

MIB = 1 << 20


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def must(*words):
    status, output = command(*words)
    if status != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: status {status}\n{output[-3000:]}")
    return output


def make(path, size_mib, kind, *, image_format="qcow2", content=None):
    """Makes an image with a whole-disk filesystem.
    @param kind   ext4 or xfs; @param content a folder to copy into an ext4"""
    raw = path.with_suffix(".raw-new")
    with open(raw, "wb") as out:
        out.truncate(size_mib * MIB)
    if kind == "ext4":
        filling = ["-d", content] if content else []
        must("mkfs.ext4", "-q", "-F", "-L", "lab", *filling, raw)
    else:
        must("mkfs.xfs", "-q", "-f", "-L", "lab", raw)
    if image_format == "raw":
        raw.rename(path)
    else:
        must("qemu-img", "convert", "-O", image_format, raw, path)
        raw.unlink()
    lab.qemu_owns(path)
    return path


def to_raw(source, target, *, image_format="qcow2"):
    """@return target: a flat copy of an image that nobody writes"""
    must("qemu-img", "convert", "-f", image_format, "-O", "raw", source, target)
    return target


def virtual_size(path, image_format, *, shared=False):
    info = json.loads(must("qemu-img", "info", *(["-U"] if shared else []), "--output=json",
                           "-f", image_format, path))
    return info["virtual-size"]


def bitmaps(path):
    """Names of the dirty bitmaps that a qcow2 file holds."""
    info = json.loads(must("qemu-img", "info", "--output=json", path))
    return [bitmap["name"] for bitmap in info["format-specific"]["data"].get("bitmaps", [])]


def part(path, image_format, begin, end, scratch):
    """Bytes of an image that a QEMU may have open, in whole sectors."""
    # `count` counts from the beginning of the input, what is skipped included.
    must("qemu-img", "dd", "-U", "-f", image_format, "-O", "raw", "bs=512", f"skip={begin // 512}",
         f"count={end // 512}", f"if={path}", f"of={scratch}")
    data = scratch.read_bytes()[:end - begin]
    scratch.unlink()
    return data


def identical(first, second, *, first_format="raw", second_format="raw", shared=False):
    """Compares sizes and every byte of two images.
    @param shared a QEMU has one of them open (and is paused)
    @return (True, "") or (False, where the first difference is)"""
    sizes = (virtual_size(first, first_format, shared=shared),
             virtual_size(second, second_format, shared=shared))
    if sizes[0] != sizes[1]:
        return False, f"sizes {sizes[0]} and {sizes[1]}"
    status, output = command("qemu-img", "compare", *(["-U"] if shared else []),
                             "-f", first_format, "-F", second_format, first, second)
    return status == 0, output.strip()


def needs_recovery(raw_ext4):
    """Whether an ext4 was written when the picture was taken: its journal has to be replayed."""
    for line in must("dumpe2fs", "-h", raw_ext4).splitlines():
        if line.startswith("Filesystem features:"):
            return "needs_recovery" in line.split()
    raise RuntimeError(f"{raw_ext4} is no ext4")


def check_clean(raw, kind):
    """e2fsck -fn or xfs_repair -n: both only look. @return (True, "") or (False, complaints)"""
    if kind == "ext4":
        status, output = command("e2fsck", "-fn", raw)
    else:
        status, output = command("xfs_repair", "-n", "-f", raw)
    return status == 0, output


def bitmaps(path):
    """{name: flags} of all dirty bitmaps in a qcow2 image, whoever has it open."""
    info = json.loads(must("qemu-img", "info", "-U", "--output=json", "-f", "qcow2", path))
    found = info["format-specific"]["data"].get("bitmaps", [])
    return {bitmap["name"]: sorted(bitmap["flags"]) for bitmap in found}


def is_sound(path):
    """Whether qemu-img check finds nothing wrong; leaked clusters (status 3) are not."""
    return command("qemu-img", "check", "-f", "qcow2", path)[0] in (0, 3)
