"""What the suite asks of a feeder: a real program that brings pictures into the inbox.

A feeder is one row of the table in docs/feeders.md, a behaviour one of its columns. A feeder that
can't do a behaviour says why in one sentence, which stands in the table's cell.
"""

import contextlib
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Literal, Protocol, get_args

from listings import files_below

Behaviour = Literal[
    "whole tree",
    "slow write",
    "killed half way, then again",
    "overwritten while it waits",
    "renamed",
    "two clients at once",
    "clean afterwards",
]
BEHAVIOURS: Final[tuple[Behaviour, ...]] = get_args(Behaviour)

# The daemon's quiet period here, how long a slow upload takes, and the longest pause it may make.
# A pause must stay well below the quiet period, and a slow upload take well over twice as long.
QUIET_S: Final = 1.0
SLOW_S: Final = 2.5
LONGEST_PAUSE_S: Final = 0.3


class Upload(Protocol):
    """An upload on its way."""

    def wait(self) -> None:
        """Return when it is over and the server has all of it; raise where it failed."""

    def kill(self) -> None:
        """Cut it off at once, as SIGKILL or a pulled plug do: the client cleans up nothing."""


class Feeder(ABC):
    """A server on the inbox, with clients; or whatever else brings files there.

    It is made once for all its tests: made, `start`, then the daemon starts, the tests run one
    after the other, the daemon stops, `stop`. Every call of `put`, `put_slowly`, `put_tree` and
    `rename` is a client of its own, where the program lets it be (a process, a connection), so two
    of them can be on their way at once.

    Paths on the inbox's side are relative to it, with `/`. The folder that holds them is there
    already, and anybody may write in it; only `put_tree` makes folders.
    """

    # The row's id in the tests' names, such as `rsync-inplace`. No spaces.
    name: ClassVar[str]
    # Programs that must be installed, as found on the PATH.
    needs: ClassVar[tuple[str, ...]]
    # For the page, in one sentence or less: names under which a file lies while it is incomplete.
    temporary_names: ClassVar[str]
    # True where a file has its final name while it is still being written.
    writes_in_place: ClassVar[bool]
    # True where what was cut off gets its final name all the same.
    renames_halves: ClassVar[bool] = False
    # Behaviour -> one sentence that says why this feeder can't do it.
    cannot: ClassVar[Mapping[Behaviour, str]] = {}
    # Patterns (fnmatch, on paths relative to the inbox) of files that may stay in the inbox: the
    # feeder's own service files, and temporary files that a killed client leaves for ever.
    leaves: ClassVar[tuple[str, ...]] = ()

    def __init__(self, inbox: Path, room: Path) -> None:
        """`inbox` exists, is empty and writable to all; `room` is an empty folder for the rest."""
        self.inbox = inbox
        self.room = room

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Program and version, asked of the program itself: `vsftpd 3.0.3 with curl 7.88.1`."""

    @abstractmethod
    def start(self) -> None:
        """Start the server, or mount; return when clients can come."""

    @abstractmethod
    def stop(self) -> None:
        """End all of it, after a failed start too."""

    @abstractmethod
    def put(self, local: Path, to: str) -> None:
        """Upload a file at full speed, over what may be there; return when the server has it."""

    @abstractmethod
    def put_slowly(self, local: Path, to: str) -> Upload:
        """Begin to upload a file over about `SLOW_S`, with no pause over `LONGEST_PAUSE_S`."""

    @abstractmethod
    def put_tree(self, folder: Path, to: str) -> None:
        """Upload what a folder holds, sub-folders and all, into the folder `to`."""

    def arrived(self, folder: str) -> int:
        """Bytes that lie in a folder of the inbox, under whatever names.

        Counted in blocks, as some make a file at its final size. Overridden where the server's side
        knows better.
        """
        total = 0
        for path in files_below(self.inbox / folder):
            with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
                status = (self.inbox / folder / path).lstat()
                if stat.S_ISREG(status.st_mode):
                    total += min(status.st_size, status.st_blocks * 512)
        return total

    def rename(self, old: str, new: str) -> None:
        """Let the client rename a file that it has uploaded."""
        raise NotImplementedError(f"{self.name} should say in `cannot` why it renames nothing")
