"""A disk of its own for a test, whose power can be cut: an ext4 image on a loop device.

Needs root. Nothing is left mounted: `powered` takes away what it mounted, cut off or not.
"""

import fcntl
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from mounts import keep_to_ourselves

# _IOR('X', 125, __u32) of the kernel's include/uapi/linux/ext4.h; flags as there.
_SHUTDOWN = 0x8004587D
_CAP_SYS_ADMIN = 21
_SIZE_BYTES = 16 << 20


class Cut(IntEnum):
    """What still reaches the disk when the power goes.

    `PLUG_PULLED`: nothing that was not synced. `JOURNAL_WRITTEN`: what the journal has of names and
    sizes, and of contents only what was synced: the kernel's own habit every five seconds.
    """

    JOURNAL_WRITTEN = 1
    PLUG_PULLED = 2


class Disk:
    """An ext4 image and the folder where it is mounted while it is `powered`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self._image = folder / "image"
        self._pristine = folder / "pristine"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        _do("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))

    def keep(self) -> None:
        """What is on the disk now, unmounted, is what `renew` brings back."""
        shutil.copyfile(self._image, self._pristine)

    def renew(self) -> None:
        """Put the disk back to what was kept."""
        shutil.copyfile(self._pristine, self._image)

    @contextmanager
    def powered(self) -> Iterator[None]:
        """The disk is mounted in here. What an ended power cut left is replayed first."""
        keep_to_ourselves()  # while somebody else sees it mounted, a dead disk stays dead
        _do("mount", "-o", "loop", str(self._image), str(self.path))
        try:
            yield
        finally:
            _do("umount", str(self.path))

    def cut(self, how: Cut) -> None:
        """From here on nothing reaches the disk, and every call fails that asks for it."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(fd)


def why_no_disks() -> str | None:
    """Why this machine can't have such disks, or None."""
    rights = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if rights is None or not int(rights[1], 16) >> _CAP_SYS_ADMIN & 1:
        return "mounting a disk takes root, and a container that lets it mount"
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed"
    if not Path("/dev/loop-control").exists():
        return "this machine has no loop devices"
    return None


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
