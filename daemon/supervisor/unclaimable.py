"""Pairs that can't be claimed for a reason of their own, or of their own folder's.

They wait, and keep nobody else waiting: a folder of another user may hold hundreds of them, and
each vain claim writes to the disk. Where the rights are at fault they are asked for at each look at
the pair's folder, which costs little; what only a claim finds out is tried again once in a while.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from daemon.intake.mounts import mount_of, mounts_below
from daemon.intake.pairing import Pair, Waiting
from daemon.intake.scan import Identity
from daemon.places import Place
from daemon.reasons import Report, Trouble, world_trouble
from daemon.spool.layout import HIDDEN_ROOMS

AGAIN_AFTER_S: Final = 300.0

# What a claim meets in a sub-folder of another user, in one that is a mount of its own, at a file
# that may not be moved, and at one that is a mount itself.
_OF_ONE_FOLDER: Final = {errno.EACCES, errno.EPERM, errno.EXDEV, errno.EBUSY}

# Whether one has these rights (as of `os.access`) at a place.
Allows = Callable[[Place, int], bool]


class _Known(NamedTuple):
    """A pair as it was when it was found to be unclaimable, and when it is worth another try."""

    waiting: Waiting
    identities: tuple[Identity, ...]
    again_at: float


class Unclaimable:
    """The book of such pairs. Times are monotonic, in seconds.

    `allows` says whether one has these rights at a place; who asks for another user brings his own.
    """

    def __init__(self, inbox: Path, allows: Allows | None = None) -> None:
        self._inbox = inbox
        self._allows = allows or we_may
        self._known: dict[str, _Known] = {}

    def waiting(self) -> list[Waiting]:
        """What each of them waits for."""
        return [known.waiting for known in self._known.values()]

    def forget_all_but(self, pairs: tuple[Pair, ...]) -> None:
        """Forget the pairs that are gone or have changed."""
        if not self._known:
            return
        there = {pair.picture.path: pair.identities for pair in pairs}
        self._known = {
            path: known
            for path, known in self._known.items()
            if there.get(path) == known.identities
        }

    def still_waits(self, pair: Pair, now: float, seen: frozenset[str] | None = None) -> bool:
        """Whether a pair that could not be claimed can't be yet; False for all others.

        `seen` are the folders that this look was at, None for all: no rights change elsewhere.
        """
        known = self._known.get(pair.picture.path)
        if known is None or now < known.again_at:
            return known is not None
        if seen is not None and not pair.folders <= seen:
            return True
        del self._known[pair.picture.path]
        return self.lacks_rights(pair, now)

    def lacks_rights(self, pair: Pair, now: float) -> bool:
        """Whether a file of the pair may not be read or not be moved; then it waits for that."""
        why = self._why(pair)
        if why is not None:
            self._known[pair.picture.path] = _Known(why, pair.identities, now)
        return why is not None

    def refuse(self, pair: Pair, error: OSError, now: float, *, others_go: bool) -> bool:
        """Let a pair wait whose claim failed.

        `others_go` says whether other files can be claimed. False where the reason may be the
        inbox's or the work folder's, and so everybody's. What is met on a mount in the inbox is
        that one's.
        """
        mount = self._mount_in(error)
        if not others_go or not (mount or error.errno in _OF_ONE_FOLDER):
            return False
        report = _report(error, pair.picture.path)
        if mount:
            facts = {"path": mount, "name": HIDDEN_ROOMS, "detail": error.strerror}
            report = Report.of(Trouble("cannot_be_held", **facts))
        waiting = Waiting(pair.picture.path, report)
        self._known[pair.picture.path] = _Known(waiting, pair.identities, now + AGAIN_AFTER_S)
        return True

    def _why(self, pair: Pair) -> Waiting | None:
        for path in (entry.path for entry in pair.inputs):
            place = Place(self._inbox, path)
            if not self._allows(place, os.R_OK) and place.is_there():
                return Waiting(path, Report.of(Trouble("unreadable", path=path)))
            if not self._allows(place.parent, os.W_OK | os.X_OK) and self._is_ours():
                code = errno.EROFS if _is_read_only(place.parent) else errno.EACCES
                return Waiting(path, _report(OSError(code, os.strerror(code)), path))
        return None

    def _mount_in(self, error: OSError) -> str:
        """The mount in the inbox on which an error was met; empty where it was elsewhere."""
        inbox = f"{self._inbox}/"
        path = str(error.filename)
        met = path.removeprefix(inbox) if path.startswith(inbox) else ""
        return mount_of(met, mounts_below(self._inbox))

    def _is_ours(self) -> bool:
        """Whether we may write in the inbox: where not, it is everybody's trouble."""
        return self._allows(Place(self._inbox), os.W_OK | os.X_OK)


def _report(error: OSError, path: str) -> Report:
    return Report.of(world_trouble(error, path))


def we_may(place: Place, rights: int) -> bool:
    """Whether we have these rights; True where that can't be asked: the claim will tell."""
    try:
        with place.reached() as (fd, name):
            return os.access(
                name or ".", rights, dir_fd=fd, effective_ids=True, follow_symlinks=False
            )
    except OSError:
        return True


def _is_read_only(folder: Place) -> bool:
    """Whether nothing can be written to what is mounted there; False where that can't be asked."""
    try:
        with folder.opened() as fd:
            return bool(os.statvfs(fd).f_flag & os.ST_RDONLY)
    except OSError:
        return False
