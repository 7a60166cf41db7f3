"""A folder that is none of the daemon's business, and whether anybody was there.

The kernel tells of every opening, reading, writing, chmod, naming and removing in it (inotify), so
that what was undone again counts too.
"""

import ctypes
import os
import re
import stat
import struct
from pathlib import Path
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)
_ALL_EVENTS = 0xFFF
_IS_FOLDER = 0x40000000
_NAMES = (
    *("access", "modify", "attrib", "close_write", "close_nowrite", "open"),
    *("moved_from", "moved_to", "create", "delete", "delete_self", "move_self"),
)
_LISTING = re.compile(r"(open|access|close_nowrite) .*/", re.DOTALL)
PRECIOUS = b"precious: "
_HEAD = struct.Struct("iIII")


class Seen(NamedTuple):
    """All there is to tell of a file or a folder, except when it was read."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    content: bytes


def seen(path: Path) -> Seen:
    """Look at a file, a folder or a link itself."""
    about = path.lstat()
    content = b""
    if stat.S_ISREG(about.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(about.st_mode):
        content = os.fsencode(path.readlink())
    size = 0 if stat.S_ISDIR(about.st_mode) else about.st_size
    return Seen(about.st_mode, about.st_uid, about.st_gid, size, about.st_mtime_ns, content)


def everything(root: Path) -> dict[str, Seen]:
    """All that lies in a folder, and itself."""
    paths = [root, *root.rglob("*")]
    return {str(path.relative_to(root)): seen(path) for path in paths}


class Alarm:
    """Rings at everything that is done with some files, and in some folders."""

    def __init__(self, *paths: Path) -> None:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[int, Path] = {}
        for path in paths:
            self.watch(path)

    def watch(self, path: Path) -> None:
        """Of a link, where it leads is not watched."""
        number = _libc.inotify_add_watch(self._fd, os.fsencode(path), _ALL_EVENTS | 0x02000000)
        assert number >= 0, os.strerror(ctypes.get_errno())
        self._watched[number] = path

    def rung(self) -> list[str]:
        """What was done since it was asked last: `open secret.jpg`, `open folder/`."""
        told: list[str] = []
        while True:
            try:
                buffer = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return told
            while buffer:
                number, mask, _, length = _HEAD.unpack_from(buffer)
                name = buffer[_HEAD.size : _HEAD.size + length].rstrip(b"\0")
                buffer = buffer[_HEAD.size + length :]
                what = " ".join(n for bit, n in enumerate(_NAMES) if mask & 1 << bit)
                where = self._watched.get(number, Path("overflow")) / os.fsdecode(name)
                told.append(f"{what} {where}{'/' if mask & _IS_FOLDER else ''}")

    def close(self) -> None:
        os.close(self._fd)


class Outside:
    """The folder, with files of the names that a job uses, so that a way into it finds them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "day"
        self.secret = root / "secret.png"
        self.folder.mkdir(parents=True)
        bait = ("cat.jpg", "cat_mask.png", "cat.png", "cat.log", "cat.jpg.reason.txt")
        for path in (self.secret, *(self.folder / name for name in bait)):
            path.write_bytes(PRECIOUS + os.fsencode(path.name))
            path.chmod(0o640)
            os.utime(path, (1000, 1000))
        for path in (self.folder, root):
            path.chmod(0o750)
            os.utime(path, (1000, 1000))
        self._before = everything(root)
        self._alarm = Alarm(root, self.folder)

    def check(self, *, listing_is_fine: bool = False) -> None:
        """Fails if anybody opened, changed, named or removed anything in the folder meanwhile."""
        rung = self._alarm.rung()
        if listing_is_fine:
            rung = [told for told in rung if not _LISTING.fullmatch(told)]
        assert rung == []
        assert everything(self.root) == self._before
        self._alarm.rung()  # that was us

    def close(self) -> None:
        self._alarm.close()
