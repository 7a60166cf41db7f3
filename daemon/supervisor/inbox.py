"""The inbox as the supervisor sees it: which pairs are ready, which files wait, and for what.

Puts the wings of `intake` together; reads the inbox and changes nothing.
"""

import heapq
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.hints import Hints
from daemon.intake.matting import MattingFolders
from daemon.intake.pairing import Pair, Pairing, Task, Waiting, pair_up
from daemon.intake.quiet import IncompleteBook, QuietBook
from daemon.intake.scan import Scan
from daemon.places import FolderId
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.supervisor.notices import Notices
from daemon.supervisor.unclaimable import Unclaimable
from daemon.supervisor.watch import Watch

log = structlog.get_logger()

# Scans never take more than a tenth of the time, however many hints come or files lie there.
_PAUSE_PER_SCAN: Final = 9.0
_LEAST_PAUSE_S: Final = 0.05


class Inbox:
    """Ready pairs and waiting files, as of the last `look`. `clock` is monotonic, in seconds."""

    def __init__(self, settings: Settings, inbox: Path, clock: Callable[[], float]) -> None:
        self._path = inbox
        self._clock = clock
        self._tasks = set(settings.models())
        self._matting_folders = MattingFolders(settings.matting_folders)
        self._watch = Watch(settings, inbox)
        self._quiet = QuietBook(self._watch.quiet_period_s)
        self._incomplete = IncompleteBook(settings.incomplete_s)
        self._last_scan = Scan((), (), ())
        self._pairing = Pairing((), ())
        self._notices = Notices()
        self._ready: list[tuple[float, str, Pair]] = []
        self._unquiet: list[Pair] = []
        self._unclaimable = Unclaimable(inbox)
        self.next_look = 0.0
        self._earliest_look = 0.0
        self.is_stale = True

    @property
    def quiet_period_s(self) -> float:
        """Seconds that a file must stay unchanged."""
        return self._quiet.period_s

    @property
    def root(self) -> FolderId | None:
        """Which folder the inbox is, which is another when something is mounted on it."""
        return self._watch.root

    @property
    def bell(self) -> Hints | None:
        """What rings when something may have changed, for the loop to listen to."""
        return self._watch.bell

    def answer_bell(self) -> None:
        """It has rung: look as soon as is fair."""
        if self.bell:
            self.bell.answer()
        self.hasten()

    def warn_of_missing(self) -> None:
        """Log each matting folder that is not there: misspelt, its masks would become holes."""
        for name in self._matting_folders.missing(self._path):
            nearest = self._matting_folders.nearest(self._path, name)
            log.warning(
                Event.MATTING_FOLDER_MISSING,
                folder=name,
                nearest=nearest,
                advice=f"make it, or write {nearest} in matting_folders if that is meant"
                if nearest
                else "make it, or correct its name in matting_folders",
            )

    def hasten(self) -> None:
        """Something may have changed: look as soon as is fair."""
        self.next_look = min(self.next_look, self._earliest_look)

    def mark_stale(self) -> None:
        """Note that something has changed since the last look."""
        self.is_stale = True

    def look(self, held: Iterable[str] = ()) -> None:
        """Scan the inbox and sort what is there; `held` are pictures claimed but not done.

        Raises `OSError` if the inbox can't be listed.
        """
        start = self._clock()
        found = self._watch.look()
        self._quiet.period_s = self._watch.quiet_period_s
        self._notices.skipped(found.errors)
        if found.pictures != self._last_scan.pictures:
            self._pairing = pair_up(found.pictures, self._matting_folders)
        self._last_scan = found
        now = self._clock()
        self._quiet.observe(found.pictures, start)
        self._incomplete.forget_all_but([*(entry.path for entry in found.pictures), *held])
        self.is_stale = False
        due = self._sort(now)
        self._notices.waiting(self.waiting(), now)
        self._earliest_look = now + max(_LEAST_PAUSE_S, _PAUSE_PER_SCAN * (now - start))
        self.next_look = max(self._earliest_look, min(due, now + self._watch.interval_s))

    def take(self) -> Pair | None:
        """The pair that has been ready for longest, once."""
        while self._ready:
            pair = heapq.heappop(self._ready)[2]
            if not self._unclaimable.lacks_rights(pair, self._clock()):
                return pair
        return None

    def set_aside(self, pair: Pair, error: OSError, *, others_go: bool) -> bool:
        """Let a pair wait that can't be claimed; see `Unclaimable.refuse`."""
        return self._unclaimable.refuse(pair, error, self._clock(), others_go=others_go)

    def put_back(self, pair: Pair) -> None:
        """Keep a pair ready that could not be claimed: the next try must not lack one."""
        heapq.heappush(self._ready, (self._clock(), pair.picture.path, pair))

    def ready_since(self) -> float | None:
        """Since when the pair that `take` would give has been ready."""
        return self._ready[0][0] if self._ready else None

    def ready_count(self) -> int:
        """How many pairs are ready or will be, once they are quiet."""
        return len(self._ready) + len(self._unquiet)

    def is_settling(self) -> bool:
        """True while a complete pair is not yet quiet."""
        return bool(self._unquiet)

    def remember_incomplete(self, pair: Pair, why: str) -> bool:
        """Note that a pair was cut off; False where that has lasted too long."""
        now = self._clock()
        self._incomplete.remember(pair.picture.path, pair.identities, now, why)
        return not self._incomplete.is_given_up(pair.picture.path, now)

    def incomplete_s(self) -> float:
        """How long a cut off pair may stay unchanged."""
        return self._incomplete.give_up_s

    def waiting(self) -> list[Waiting]:
        """All that stays in the inbox for now, and what it waits for; a pair by its picture."""
        waiting = list(self._pairing.waiting)
        waiting += self._unclaimable.waiting()
        now = self._clock()
        for pair in self._pairing.pairs:
            why = self._why_not_taken(pair, now)
            if why:
                waiting.append(why)
        for entry in self._last_scan.unreadable:
            suffix = os.path.splitext(entry.path)[1]  # noqa: PTH122 - a path with slashes, no Path
            waiting.append(
                Waiting(entry.path, Report.of(Trouble("unreadable_kind", suffix=suffix)))
            )
        return waiting

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def _sort(self, now: float) -> float:
        """Sort the pairs into ready and not; returns when the next one may become ready."""
        due = self._incomplete.due(now) or float("inf")
        self._ready, self._unquiet = [], []
        self._unclaimable.forget_all_but(self._pairing.pairs)
        for pair in self._pairing.pairs:
            if pair.task not in self._tasks:
                continue
            times = [self._quiet.quiet_at(entry) for entry in (pair.picture, pair.companion)]
            if None in times:
                continue  # 0 bytes: not yet, and nobody knows when
            ready_at = max(time for time in times if time is not None)
            if ready_at > now:
                self._unquiet.append(pair)
                due = min(due, ready_at)
            elif not (
                self._waits_incomplete(pair, now) or self._unclaimable.still_waits(pair, now)
            ):
                self._ready.append((ready_at, pair.picture.path, pair))
        heapq.heapify(self._ready)
        return due

    def _waits_incomplete(self, pair: Pair, now: float) -> str | None:
        return self._incomplete.waits(pair.picture.path, pair.identities, now)

    def _why_not_taken(self, pair: Pair, now: float) -> Waiting | None:
        path = pair.picture.path
        if pair.task not in self._tasks:
            return Waiting(path, Report.of(no_model(pair.task)))
        for entry in (pair.picture, pair.companion):
            quiet_at = self._quiet.quiet_at(entry)
            if quiet_at is None:
                return Waiting(entry.path, Report.of(Trouble("empty")))
            if quiet_at > now:
                report = Report.of(Trouble("not_quiet", seconds=self._quiet.period_s))
                return Waiting(entry.path, report)
        incomplete = self._waits_incomplete(pair, now)
        if incomplete:
            facts = {"role": "pair", "detail": incomplete, "seconds": self._incomplete.give_up_s}
            return Waiting(path, Report.of(Trouble("incomplete", **facts)))
        return None


def no_model(task: Task) -> Trouble:
    """Why a pair waits for whose task nothing is configured."""
    name = "inpainting" if task == "inpaint" else "matting"
    return Trouble("no_model", task=name, setting=f"{task}_model")
