"""What disks must hold: the model of the soak. A shadow file takes the writes that the disk takes;
a picture is its digests, one for each 64 KiB, which costs so little that every point has its own.
"""
import contextlib
import dataclasses
import errno
import hashlib
import os

BLOCK_BYTES = 64 << 10
ZERO = b""  # the digest of a block that reads as zeros, whatever its length


def digest(data):
    return ZERO if not any(data) else hashlib.blake2b(data, digest_size=12).digest()


@dataclasses.dataclass(frozen=True)
class Picture:
    """One disk at one instant."""
    size: int
    blocks: tuple


def picture_of(path):
    """The picture of a flat image; what is no data of the file system's is not read."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        blocks = [ZERO] * -(-size // BLOCK_BYTES)
        at = 0
        while (at := _next_data(file.fileno(), at)) is not None:
            index = at // BLOCK_BYTES
            blocks[index] = digest(os.pread(file.fileno(), BLOCK_BYTES, index * BLOCK_BYTES))
            at = (index + 1) * BLOCK_BYTES
    return Picture(size, tuple(blocks))


def _next_data(fd, at):
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


class Shadow:
    """The bytes of one disk as they are now."""

    def __init__(self, path, size):
        self.path = path
        self.file = open(path, "w+b", buffering=0)  # pylint: disable=consider-using-with
        self.file.truncate(size)
        self.size = size
        self.blocks = [ZERO] * -(-size // BLOCK_BYTES)
        self.stale = set()  # blocks whose digest is older than their bytes

    def _touch(self, offset, length):
        self.stale.update(range(offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES)))

    def write(self, offset, data):
        os.pwrite(self.file.fileno(), data, offset)
        self._touch(offset, len(data))

    def zero(self, offset, length):
        end = offset + length
        while offset < end:
            step = min(1 << 20, end - offset)
            self.write(offset, bytes(step))
            offset += step

    def discard(self, offset, length, cluster):
        """What QEMU makes of it: whole clusters read as zeros, the rest keeps its bytes."""
        first = -(-offset // cluster) * cluster
        end = offset + length
        last = end if end == self.size else end // cluster * cluster
        if first < last:
            self.zero(first, last - first)

    def resize(self, size):
        self.file.truncate(size)
        edge = min(size, self.size)
        self.size = size
        count = -(-size // BLOCK_BYTES)
        self.blocks = (self.blocks + [ZERO] * count)[:count]
        self.stale.add(edge // BLOCK_BYTES)
        self.stale = {index for index in self.stale if index < count}

    def picture(self):
        for index in self.stale:
            length = min(BLOCK_BYTES, self.size - index * BLOCK_BYTES)
            self.blocks[index] = digest(os.pread(self.file.fileno(), length, index * BLOCK_BYTES))
        self.stale.clear()
        return Picture(self.size, tuple(self.blocks))

    def close(self):
        self.file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Points:
    """The recovery points of one vault, what each must restore to, and which disks the next
    increment can build on."""

    def __init__(self):
        self.expected = {}  # point id: {disk name: Picture}
        self.tracked = {}   # disk name: point id, or "?" when either mode would be right
        self.fulls = set()  # points that were asked to build on nothing

    def add(self, point, pictures, *, tracked, full):
        """@param tracked QEMU lives on, so it records changes since then, in any format
        @param full it leaves the tracking of the point before alone, until the next backup"""
        self.expected[point] = pictures
        if full:
            self.fulls.add(point)
        for disk in pictures:
            self.tracked[disk] = point if tracked else "?"

    def lose_tracking(self, disk):
        self.tracked.pop(disk, None)

    def forget(self, point):
        del self.expected[point]
        for disk in [disk for disk, at in self.tracked.items() if at == point]:
            if point in self.fulls:
                self.tracked[disk] = "?"
            else:
                self.tracked.pop(disk)


def differences(wanted, found, history=()):
    """@param history {point id: Picture} of the same disk: whose bytes a wrong block has
    @return "" or what is wrong, for people"""
    if wanted.size != found.size:
        return f"size {found.size} instead of {wanted.size}"
    wrong = [index for index, pair in enumerate(zip(wanted.blocks, found.blocks))
             if pair[0] != pair[1]]
    if not wrong:
        return ""
    lines = [f"{len(wrong)} of {len(wanted.blocks)} blocks of 64 KiB differ"]
    for index in wrong[:8]:
        has = found.blocks[index]
        owners = [point for point, picture in dict(history).items()
                  if index < len(picture.blocks) and picture.blocks[index] == has]
        what = "zeros" if has == ZERO else has.hex()
        lines.append(f"  block {index}: {what}"
                     + (f", as in {' '.join(owner[:13] for owner in owners[:6])}" if owners else "")
                     + (", should be zeros" if wanted.blocks[index] == ZERO else ""))
    return "\n".join(lines)
