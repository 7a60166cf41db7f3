"""Files below a root, reached step by step and never through a link.

The inbox and the outbox are open to everyone on the network, and so a folder in them may become a
link to anywhere between the moment it is looked at and the moment it is used. A `Place` is opened
from its root downwards, each folder in the one before it; a link on the way, or at its end, is an
error. The roots themselves are settings, and may be links.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Enough to go through a folder; reading it needs a right of its own.
_PASS_THROUGH: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# No such name, or none that this file system could hold; or a link on the way to it.
_NOTHING_THERE: Final = {
    *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
}
# To open a folder, and no link to one, so that it can be listed.
LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Device and inode of a folder.
FolderId = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A file or a folder: a trusted root, and a path below it, with `/`; the empty one is the root.

    All errors are `OSError`s that name the whole path.
    """

    root: Path
    path: str = ""

    def __post_init__(self) -> None:
        if self.path.startswith("/") or ".." in self.path.split("/"):
            raise ValueError(f"{self.path!r} leads out of {self.root}")

    def __str__(self) -> str:
        return str(self.root / self.path)

    def __truediv__(self, below: str) -> "Place":
        return Place(self.root, f"{self.path}/{below}" if self.path else below)

    @property
    def name(self) -> str:
        """The last part; empty for the root."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Place":
        """The folder that holds it. The root's is the root, below which nothing leads out."""
        return Place(self.root, self.path.rpartition("/")[0])

    def beside(self, name: str) -> "Place":
        """Another name in the same folder."""
        return self.parent / name

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of this folder, good for going on from it, but not for listing it."""
        with naming(self):
            fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in filter(None, self.path.split("/")):
                with naming(self):
                    deeper = os.open(part, _PASS_THROUGH, dir_fd=fd)
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def listable(self) -> Iterator[int]:
        """A descriptor of this folder that can be listed, synced, and given mode and owner."""
        with self.opened() as fd:
            with naming(self):
                real = os.open(".", LIST, dir_fd=fd)
            try:
                yield real
            finally:
                os.close(real)

    @contextmanager
    def reached(self) -> Iterator[tuple[int, str]]:
        """The folder's descriptor and the name in it, for the calls that take `dir_fd`.

        An error of such a call, made inside, is raised with the whole path.
        """
        with self.parent.opened() as fd, naming(self):
            yield fd, self.name

    def about(self) -> os.stat_result | None:
        """What lies here, a link itself rather than where it leads; None where there is nothing."""
        try:
            with self.reached() as (fd, name):
                return os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise

    def is_there(self) -> bool:
        """Whether anything lies here; a link to nowhere does."""
        return self.about() is not None

    def is_folder(self) -> bool:
        """Whether a folder lies here, no link to one."""
        about = self.about()
        return about is not None and stat.S_ISDIR(about.st_mode)

    def folder_id(self) -> FolderId:
        """Which folder this is, by whatever name."""
        with self.opened() as fd:
            about = os.fstat(fd)
        return about.st_dev, about.st_ino

    def listing(self) -> list[tuple[str, os.stat_result | OSError]]:
        """The names in this folder, each with what it is, or why that can't be told."""
        with self.listable() as fd, naming(self), os.scandir(fd) as entries:
            return [(entry.name, about) for entry in entries if (about := _about(self, entry))]


@contextmanager
def naming(place: object) -> Iterator[None]:
    """An `OSError` from in here names the place: descriptors have no names to tell."""
    try:
        yield
    except OSError as error:
        if error.errno is None or str(error.filename).startswith("/"):
            raise  # named already, by whoever was nearer to it
        raise OSError(error.errno, error.strerror, str(place)) from None


def _about(folder: Place, entry: os.DirEntry[str]) -> os.stat_result | OSError | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # gone since it was listed: the next look tells
    except OSError as error:
        return OSError(error.errno, error.strerror, str(folder / entry.name))
