"""A folder that is none of the daemon's business, and whether anybody was there.

The kernel tells of every opening, reading, writing, chmod, naming and removing in it (inotify), so
that what was undone again counts too.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from inotify_simple import INotify, flags, masks

PRECIOUS = b"precious: "


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
        self._inotify = INotify()
        self._watched: dict[int, Path] = {}
        for path in paths:
            self.watch(path)

    def watch(self, path: Path) -> None:
        """Of a link, where it leads is not watched."""
        number = self._inotify.add_watch(path, masks.ALL_EVENTS | flags.DONT_FOLLOW)
        self._watched[number] = path

    def rung(self) -> list[str]:
        """What was done since it was asked last: `open secret.jpg`, `open folder/`."""
        return [
            f"{_what(event.mask)} {self._watched.get(event.wd, Path('overflow')) / event.name}"
            f"{'/' if event.mask & flags.ISDIR else ''}"
            for event in self._inotify.read(timeout=0)
        ]

    def close(self) -> None:
        self._inotify.close()


def _what(mask: int) -> str:
    done = (flag for flag in flags.from_mask(mask) if flag is not flags.ISDIR)
    return " ".join(flag.name.lower() for flag in done)


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

    def check(self) -> None:
        """Fails if anybody opened, changed, named or removed anything in the folder meanwhile."""
        assert self._alarm.rung() == []
        assert everything(self.root) == self._before
        self._alarm.rung()  # that was us

    def close(self) -> None:
        self._alarm.close()
