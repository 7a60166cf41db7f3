"""Keeps the pages in the outbox as things are: writes those that have changed, and no others.

Of the book only the newest entries are looked at; a page that is full is never written again. What
a crash, or a person, has taken away is made anew, a few pages at a time.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final, Protocol

import structlog

from daemon.events import Event
from daemon.people.failures import not_done_since, still_lies
from daemon.people.pages.albums import (
    FOLDER,
    INDEX,
    PER_PAGE,
    STATUS,
    Reach,
    album,
    index,
    page_name,
    page_of,
    span,
)
from daemon.people.pages.frame import MARK_WITHIN, MOST_LISTED, is_own
from daemon.people.pages.status import LIFE_S, status_body, status_page
from daemon.places import Place
from daemon.spool import files
from daemon.spool.entries import Ended
from daemon.spool.layout import Spool
from daemon.supervisor.snapshot import Snapshot

log = structlog.get_logger()

# Numbered pages that are written in one go; with the index and the status far less than a second.
_MOST_PAGES: Final = 8
# The newest entries among which failures are looked for at the start.
_MOST_LOOKED_BACK: Final = 2000


class Ends(Protocol):
    """What became of each picture: the book, as far as the pages read it."""

    def count(self) -> int:
        """How many entries there are."""

    def failures(self) -> int:
        """How many of those that were counted last are of jobs that were given up."""

    def between(self, first: int, last: int) -> Sequence[Ended]:
        """The entries from one position to before another, the oldest being 0; fewer at the end."""


class Gallery:
    """The pages of a spool's outbox. Not for several threads."""

    def __init__(self, spool: Spool, ends: Ends) -> None:
        """Nothing is read or written yet. `ends` may only grow while this lives."""
        self._spool = spool
        self._ends = ends
        self._reach: Reach | None = None
        self._owed: set[int] = set()
        self._digests: dict[str, bytes] = {}
        self._told: set[str] = set()
        self._failures = _Failures()

    def update(self, snapshot: Snapshot, *, is_over: bool = False) -> bool:
        """Write what has changed. True where all is written, False where old pages are still owed.

        With `is_over` they say that nothing comes any more. Takes less than a second. What has a
        page's name and is not ours stays, and is logged once. Raises `OSError` and `WORLD`
        troubles; what was left undone then is done by a later call.
        """
        self._spool.require_mounts()
        self._write_all(snapshot, is_over=is_over)
        return not self._owed

    def _write_all(self, snapshot: Snapshot, *, is_over: bool) -> None:
        count = self._ends.count()
        is_wanted = self._reach is None or not Place(self._spool.outbox, INDEX).is_there()
        if self._reach is None:
            self._reach = self._reach_so_far(count)
        if is_wanted or count != self._reach.count or self._owed:
            self._write_albums(count)
        self._failures.look(self._ends, count)
        self._write_status(snapshot, is_new=not count, is_over=is_over)

    def _write_status(self, snapshot: Snapshot, *, is_new: bool, is_over: bool) -> None:
        failed = self._spool.failed
        failures = [each for each in self._failures.newest_first() if still_lies(each, failed)]
        body = status_body(snapshot, failures, is_new=is_new, is_over=is_over)
        # Also where nothing has changed it is written now and then, as a sign of life.
        about = f"{snapshot.at // LIFE_S} {body}"
        page = status_page(body, snapshot.at, is_over=is_over)
        self._write(STATUS, page, of=about.encode("utf-8"))

    def _reach_so_far(self, count: int) -> Reach:
        """How far the pages that are there can be believed; what is missing is owed from now on."""
        reach = Reach.in_page(_head_of(Place(self._spool.outbox, INDEX)))
        last = self._ends.between(reach.count - 1, reach.count) if 0 < reach.count <= count else ()
        if not last or last[0].job != reach.job:
            # No index of ours, or one of another book.
            self._owed = set(range(1, page_of(count) + 1))
            return Reach()
        there = _names_in(Place(self._spool.outbox, FOLDER))
        wanted = range(1, page_of(count) + 1)
        self._owed = {n for n in wanted if page_name(n).rpartition("/")[2] not in there}
        return reach

    def _write_albums(self, count: int) -> None:
        assert self._reach is not None  # noqa: S101 - its only caller has seen to it
        # The page that was the newest has changed since, and the later ones are new.
        self._owed |= set(range(page_of(self._reach.count), page_of(count) + 1))
        for number in sorted(self._owed, reverse=True)[:_MOST_PAGES]:
            self._write(
                page_name(number),
                album(number, self._ends.between(*span(number)), is_full=page_of(count) > number),
            )
            self._owed.discard(number)
        newest = self._ends.between(max(0, count - PER_PAGE), count)
        reach = Reach(count, newest[-1].job if newest else "")
        # A crash before all of them are written must not be taken for the end.
        reached = Reach() if self._owed else reach
        self._write(INDEX, index(count, self._ends.failures(), newest, reached))
        self._reach = reach

    def _write(self, path: str, content: bytes, of: bytes | None = None) -> None:
        """Put a page where it belongs, if it has changed, or `of` has, what it is about."""
        digest = hashlib.sha256(content if of is None else of).digest()
        place = Place(self._spool.outbox, path)
        is_known = self._digests.get(path) == digest and place.is_there()
        if is_known or _begin_of(place, len(content) + 1) == content:
            return
        try:
            files.make_folders(place.parent, self._spool.ownership)
            files.write_own_page(place, content, self._spool.ownership, is_own)
        except (FileExistsError, NotADirectoryError):
            self._leave(path)
            return
        if path in (INDEX, STATUS):
            self._digests[path] = digest

    def _leave(self, path: str) -> None:
        if path not in self._told:
            self._told.add(path)
            log.warning(
                Event.PAGE_NOT_WRITTEN,
                page=path,
                why="something else has this name, and is left alone.",
                advice="Rename it or move it away: the name is wanted for a page.",
            )


class _Failures:
    """The newest failures of which the picture has not been done since."""

    def __init__(self) -> None:
        self._seen: int | None = None
        self._newest: list[Ended] = []

    def look(self, ends: Ends, count: int) -> None:
        """Take in what has been entered since the last look."""
        first = max(self._seen or 0, count - _MOST_LOOKED_BACK)
        newest = chain(reversed(ends.between(first, count)), self._newest)
        self._newest = list(islice(not_done_since(newest), MOST_LISTED))
        self._seen = count

    def newest_first(self) -> list[Ended]:
        """At most `MOST_LISTED`."""
        return self._newest


def _head_of(place: Place) -> bytes:
    """The first bytes of a page; nothing where there is none that is ours."""
    head = _begin_of(place, 8 * MARK_WITHIN)
    return head if is_own(head) else b""


def _begin_of(place: Place, size: int) -> bytes:
    """At most so many bytes of a file; nothing where there is none that can be read."""
    try:
        with files.reading(place) as file:
            return file.read(size)
    except OSError:
        return b""


def _names_in(folder: Place) -> Iterable[str]:
    try:
        with folder.listable() as fd:
            return set(os.listdir(fd))
    except (FileNotFoundError, NotADirectoryError):
        return ()
