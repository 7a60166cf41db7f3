"""Keeps the pages in the outbox as things are: writes those that have changed, and no others.

Of the book only the newest entries are looked at; a page that is full is never written again. What
a crash, or a person, has taken away is made anew, a few pages at a time. Where something is in the
way of one page the others are written, and the one that says how it stands is written first.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

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
from daemon.people.pages.elements import Html, joined
from daemon.people.pages.frame import MARK_WITHIN, MOST_LISTED, is_own
from daemon.people.pages.status import LIFE_S, status_body, status_page
from daemon.people.pages.tidying import cut_short, end_exchange, names_in, remove_if_ours, unwanted
from daemon.people.pages.unread import unread
from daemon.places import Place
from daemon.reasons import Trouble, world_trouble
from daemon.spool import files
from daemon.spool.entries import Ended
from daemon.spool.layout import Spool
from daemon.supervisor.snapshot import Snapshot

log = structlog.get_logger()

_T = TypeVar("_T")

# Numbered pages that are written in one go; with the index and the status far less than a second.
_MOST_PAGES: Final = 8
# The newest entries among which failures are looked for at the start, and the most that are kept.
_MOST_LOOKED_BACK: Final = 2000
# Somebody has put something in a page's way; all else that the disk answers is no single page's.
_IN_THE_WAY: Final = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM}


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
        page's name and is not ours, or may not be written to, stays and is logged once. Raises
        `OSError` and `WORLD` troubles, of the book too, when the status is written as far as can
        be; what was left undone then is done by a later call.
        """
        self._spool.require_mounts()
        count, trouble = self._look_into_book()
        is_new = trouble is None and not count
        self._write_status(snapshot, trouble, is_new=is_new, is_over=is_over)
        if trouble is not None:
            raise trouble
        self._write_gallery(count)
        return not self._owed

    def _look_into_book(self) -> tuple[int, Trouble | None]:
        """How many entries it has, and why it can't be read, if it can't."""
        try:
            count = self._ends.count()
            self._failures.look(self._ends, count)
        except OSError as error:
            return 0, world_trouble(error)
        return count, None

    def _write_status(
        self, snapshot: Snapshot, trouble: Trouble | None, *, is_new: bool, is_over: bool
    ) -> None:
        failures = self._failures.lying(self._spool)
        body = status_body(snapshot, failures, is_new=is_new, is_over=is_over)
        if trouble is not None:
            body = _with_unread_book(body, trouble, snapshot)
        # Also where nothing has changed it is written now and then, as a sign of life.
        about = f"{snapshot.at // LIFE_S} {body}"
        page = status_page(body, snapshot.at, is_over=is_over)
        self._write(STATUS, page, of=about.encode("utf-8"))

    def _write_gallery(self, count: int) -> None:
        is_wanted = self._reach is None or not Place(self._spool.outbox, INDEX).is_there()
        if self._reach is None:
            self._reach = self._reach_so_far(count)
        if is_wanted or count != self._reach.count or self._owed:
            self._write_albums(count)

    def _reach_so_far(self, count: int) -> Reach:
        """How far the pages that are there can be believed; what is missing is owed from now on,
        and what is ours beyond the last one goes."""
        folder = Place(self._spool.outbox, FOLDER)
        there = names_in(folder)
        for path in (INDEX, STATUS, *(f"{FOLDER}/{name}" for name in cut_short(there))):
            place = Place(self._spool.outbox, path)
            self._unless_in_the_way(path, partial(end_exchange, place))
        for name in unwanted(there, page_of(count)):
            self._unless_in_the_way(f"{FOLDER}/{name}", partial(remove_if_ours, folder / name))
        reach = Reach.in_page(_head_of(Place(self._spool.outbox, INDEX)))
        last = self._ends.between(reach.count - 1, reach.count) if 0 < reach.count <= count else ()
        if not last or last[0].job != reach.job:
            # No index of ours, or one of another book.
            self._owed = set(range(1, page_of(count) + 1))
            return Reach()
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

        def write() -> bool:
            files.make_folders(place.parent, self._spool.ownership)
            files.write_own_page(place, content, self._spool.ownership, is_own)
            return True

        if self._unless_in_the_way(path, write) and path in (INDEX, STATUS):
            self._digests[path] = digest

    def _unless_in_the_way(self, path: str, do: Callable[[], _T]) -> _T | None:
        """What `do` gives. Where something of somebody's is in this page's way, that is left alone
        and told once; what is no single page's trouble is raised."""
        try:
            return do()
        except OSError as error:
            is_closed = error.errno in _FORBIDDEN and _may_write_into(self._spool.outbox)
            if error.errno not in _IN_THE_WAY and not is_closed:
                raise
            self._leave(path, error)
            return None

    def _leave(self, path: str, error: OSError) -> None:
        place = str(error.filename or self._spool.outbox / path)
        if place in self._told:
            return
        self._told.add(place)
        why = f"{place} is something else, and is left alone."
        advice = "Rename it or move it away: the name is wanted for a page."
        if error.errno in _FORBIDDEN:
            why = f"no permission for {place} ({error.strerror})."
            advice = f"Give the user that runs retouchd the right to write there. Or: {advice}"
        log.warning(Event.PAGE_NOT_WRITTEN, page=path, why=why, advice=advice)


class _Failures:
    """The newest failures of which the picture has not been done since."""

    def __init__(self) -> None:
        self._seen: int | None = None
        self._newest: list[Ended] = []

    def look(self, ends: Ends, count: int) -> None:
        """Take in what has been entered since the last look."""
        first = max(self._seen or 0, count - _MOST_LOOKED_BACK)
        newest = chain(reversed(ends.between(first, count)), self._newest)
        # Far more than are listed: of these any may have been done since, or taken away.
        self._newest = list(islice(not_done_since(newest), _MOST_LOOKED_BACK))
        self._seen = count

    def lying(self, spool: Spool) -> list[Ended]:
        """The newest whose files lie in `failed` still, at most `MOST_LISTED`. What has been taken
        away is forgotten: to look for thousands at each writing takes a NAS minutes.
        """
        found: list[Ended] = []
        looked = 0
        for each in self._newest:
            if len(found) == MOST_LISTED:
                break
            looked += 1
            if still_lies(each, spool.failed):
                found.append(each)
        spool.require_mounts()  # or all would seem to have been taken away
        self._newest = [*found, *self._newest[looked:]]
        return found


def _with_unread_book(body: Html, trouble: Trouble, snapshot: Snapshot) -> Html:
    """What holds all work is the one thing to know first, and else this."""
    box = unread(trouble)
    return joined(body, box) if snapshot.holds else joined(box, body)


def _may_write_into(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


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
