"""What is in the inbox now. The directory is the truth; everything else only makes us look sooner.

Trusts: nothing in the inbox, which is open to everyone. Symbolic links, pipes, sockets and devices
are passed over, junk too. Promises: every regular file that could be a picture, once, and an error
for each folder that could not be listed; one bad folder hides no other.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daemon.intake.names import (
    PICTURE_SUFFIXES,
    UNREADABLE_SUFFIXES,
    is_junk_file,
    is_junk_folder,
    split_suffix,
)


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


def scan(inbox: Path) -> Scan:
    """Walk the inbox once.

    Raises `OSError` if the inbox itself can't be listed; what lies below is collected in `errors`.
    """
    pictures: list[Entry] = []
    unreadable: list[Entry] = []
    errors: list[OSError] = []
    for name, path, about in _walk(inbox, errors):
        suffix = split_suffix(name)[1].lower()
        if suffix in PICTURE_SUFFIXES:
            pictures.append(Entry(path, Identity.of(about)))
        elif suffix in UNREADABLE_SUFFIXES:
            unreadable.append(Entry(path, Identity.of(about)))
    return Scan(tuple(pictures), tuple(unreadable), tuple(errors))


def _walk(inbox: Path, errors: list[OSError]) -> Iterator[tuple[str, str, os.stat_result]]:
    # A stack, not recursion: a tree a thousand folders deep must not end the daemon.
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(inbox / folder) as entries:
                found = list(entries)
        except OSError as error:
            if not folder:
                raise
            errors.append(error)
            continue
        for entry in found:
            path = f"{folder}{entry.name}"
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since it was listed: the next scan tells
            except OSError as error:
                errors.append(error)
                continue
            if stat.S_ISDIR(about.st_mode):
                if not is_junk_folder(entry.name):
                    folders.append(f"{path}/")
            elif stat.S_ISREG(about.st_mode) and not is_junk_file(entry.name):
                yield entry.name, path, about
