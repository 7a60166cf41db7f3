"""How it stands: what the daemon has told, what the book says, and whether one runs at all."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

from daemon.people.failures import not_done_since, still_lies
from daemon.people.reach import reached_work
from daemon.people.state import read_state
from daemon.places import Place
from daemon.reasons import Trouble, world_trouble
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.spool.entries import Ended
from daemon.spool.layout import HIDDEN_WORK, is_locked
from daemon.spool.pausing import paused_since
from daemon.supervisor.snapshot import Snapshot

# A sign of life comes every 30 s at the latest; who has missed three of them is not well.
SILENT_AFTER_S: Final = 90.0
HOUR_S: Final = 3600.0
MOST_FAILURES: Final = 5
_MOVE_IT_AWAY: Final = (
    "If it can't be mended, move that file out of the book's folder: the rest is read then, and "
    "retouchd history --rebuild enters what the outbox and failed tell."
)
# So far back in the book it is looked for failures, in lines.
_MOST_LINES: Final = 1000


class Life(Enum):
    """What can be said of the daemon in a word."""

    STOPPED = "not running"
    STARTING = "starting"
    SILENT = "silent"
    HOLDING = "holding"
    PAUSED = "paused"
    WORKING = "working"
    IDLE = "nothing to do"


@dataclass(frozen=True)
class LastHour:
    """What ended within the last hour. `median_s` is what a picture that was done took of its
    worker's time, waiting for its turn left out, in seconds; None where none was done."""

    done: int = 0
    failed: int = 0
    median_s: float | None = None


@dataclass(frozen=True)
class Standing:
    """How it stands at the moment `at`, in seconds since 1970.

    `failures` are the newest of which the picture has not been done since and something still lies
    in `failed`, the newest first. Where the book can't be read `unread` says why; of `last_hour`
    and `failures` some lack then.
    """

    at: float
    work: Path
    is_running: bool
    snapshot: Snapshot | None
    paused_since: float | None
    last_hour: LastHour
    failures: tuple[Ended, ...] = ()
    unread: Trouble | None = None

    @property
    def age_s(self) -> float | None:
        """How old the daemon's account is, in seconds."""
        return None if self.snapshot is None else max(0.0, self.at - self.snapshot.at)

    @property
    def life(self) -> Life:
        """What can be said of the daemon in a word; what keeps it from working comes first."""
        if not self.is_running:
            return Life.STOPPED
        if self.snapshot is None or self.age_s is None:
            return Life.STARTING
        if self.age_s > SILENT_AFTER_S:
            return Life.SILENT
        if self.snapshot.holds:
            return Life.HOLDING
        if self.paused_since is not None:
            return Life.PAUSED
        if not self.snapshot.devices:
            return Life.STARTING
        is_busy = self.snapshot.tally.running or self.snapshot.tally.ready
        return Life.WORKING if is_busy else Life.IDLE

    @property
    def is_well(self) -> bool:
        """Whether it runs and nothing is in its way, unless it was people who paused it. Files may
        wait for their people all the same."""
        if self.unread is not None:
            return False
        return self.life not in (Life.STOPPED, Life.SILENT, Life.HOLDING)


def look(settings: Settings) -> Standing:
    """See how it stands, as far as the book can be read; changes nothing.

    Raises `OutOfReachError`, or `OSError`.
    """
    work = reached_work(settings)
    hidden = Place(settings.folders()["inbox"], HIDDEN_WORK)
    is_running = is_locked(Place(work)) or is_locked(hidden)
    snapshot, paused = read_state(work), paused_since(work)
    now = time.time()
    book = _AsFarAsCanBe(Book(work))
    last_hour, failures = _read_book(book, settings.folders()["failed"], now)
    return Standing(now, work, is_running, snapshot, paused, last_hour, failures, book.unread)


def advice_for_book(trouble: Trouble) -> str:
    """What to do where the book can't be read for this trouble."""
    return f"{trouble.advice} {_MOVE_IT_AWAY}"


class _AsFarAsCanBe:
    """A book that ends early where it can't be read; `unread` says why."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.unread: Trouble | None = None

    def newest(self) -> Iterator[Ended]:
        try:
            yield from self._book.newest()
        except OSError as error:
            self.unread = world_trouble(error)


def _read_book(book: _AsFarAsCanBe, failed: Path, now: float) -> tuple[LastHour, tuple[Ended, ...]]:
    hour = list(takewhile(lambda ended: ended.ended_at > now - HOUR_S, book.newest()))
    done = [each for each in hour if each.outcome == "done"]
    seconds = [_worked_s(each) for each in done if each.facts]
    median_s = statistics.median(seconds) if seconds else None
    failures = (e for e in not_done_since(_newest(book, now)) if still_lies(e, failed))
    told = tuple(islice(failures, MOST_FAILURES))
    return LastHour(len(done), len(hour) - len(done), median_s), told


def _newest(book: _AsFarAsCanBe, now: float) -> Iterator[Ended]:
    for number, ended in enumerate(book.newest()):
        if number >= _MOST_LINES and ended.ended_at <= now - HOUR_S:
            return
        yield ended


def _worked_s(ended: Ended) -> float:
    steps = ended.facts.seconds if ended.facts else {}
    return sum(seconds for step, seconds in steps.items() if step != "wait")
