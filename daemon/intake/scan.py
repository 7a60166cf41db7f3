"""What is in the inbox now. The directory is the truth; everything else only makes us look sooner.

Trusts: nothing in the inbox, which is open to everyone. Symbolic links, pipes, sockets and devices
are passed over, junk too. Promises: every regular file that could be a picture, once, and an error
for each folder that could not be listed; one bad folder hides no other.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from daemon.intake.names import (
    PICTURE_SUFFIXES,
    UNREADABLE_SUFFIXES,
    is_junk_file,
    is_junk_folder,
    split_suffix,
)
from daemon.places import Place

# Each folder is opened from the root down, so a chain of folders costs the square of its length.
# Nobody keeps pictures so deep; what lies deeper is told, like a folder that can't be read.
MAX_DEPTH: Final = 100


class Identity(NamedTuple):
    """What must stay the same for a file to be the same, unchanged file."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, about: os.stat_result) -> "Identity":
        return cls(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)


class Entry(NamedTuple):
    """A file in the inbox: its path relative to the inbox, with `/`, and its identity."""

    path: str
    identity: Identity


@dataclass(frozen=True)
class Scan:
    """What one walk over the inbox found."""

    pictures: tuple[Entry, ...]
    unreadable: tuple[Entry, ...]
    errors: tuple[OSError, ...]


def scan(inbox: Path, watch: Callable[[int], None] = lambda _fd: None) -> Scan:
    """Walk the inbox once; `watch` is called with a descriptor of each folder before it is listed.

    Raises `OSError` if the inbox itself can't be listed; what lies below is collected in `errors`.
    """
    pictures: list[Entry] = []
    unreadable: list[Entry] = []
    errors: list[OSError] = []
    for place, about in _walk(Place(inbox), errors, watch):
        suffix = split_suffix(place.name)[1].lower()
        if suffix in PICTURE_SUFFIXES:
            pictures.append(Entry(place.path, Identity.of(about)))
        elif suffix in UNREADABLE_SUFFIXES:
            unreadable.append(Entry(place.path, Identity.of(about)))
    return Scan(tuple(pictures), tuple(unreadable), tuple(errors))


def _walk(
    inbox: Place, errors: list[OSError], watch: Callable[[int], None]
) -> Iterator[tuple[Place, os.stat_result]]:
    # A stack, not recursion: a tree a thousand folders deep must not end the daemon.
    folders = [(inbox, 0)]
    while folders:
        folder, depth = folders.pop()
        try:
            found = folder.listing(before=watch)
        except OSError as error:
            if folder == inbox:
                raise
            errors.append(error)
            continue
        for name, about in found:
            place = folder / name
            if isinstance(about, OSError):
                errors.append(about)
            elif stat.S_ISREG(about.st_mode):
                if not is_junk_file(name):
                    yield place, about
            elif stat.S_ISDIR(about.st_mode) and not is_junk_folder(name):
                if depth < MAX_DEPTH:
                    folders.append((place, depth + 1))
                else:
                    errors.append(_too_deep(place))


def _too_deep(place: Place) -> OSError:
    what = f"it lies more than {MAX_DEPTH} folders deep; move it up"
    return OSError(errno.ENAMETOOLONG, what, str(place))
