"""The inbox as the supervisor sees it: which pairs are ready, which files wait, and for what.

Puts the wings of `intake` together; reads the inbox and changes nothing.
"""

import errno
import heapq
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.hints import Hints, filesystem_of, hears_events
from daemon.intake.matting import MattingFolders
from daemon.intake.pairing import Pair, Pairing, Task, Waiting, pair_up
from daemon.intake.quiet import IncompleteBook, QuietBook
from daemon.intake.scan import Scan, scan
from daemon.places import Place
from daemon.reasons import Report, Trouble, world_trouble
from daemon.settings import Settings

log = structlog.get_logger()

LOCAL_QUIET_S: Final = 5.0
NETWORK_QUIET_S: Final = 10.0
INTERVAL_WITH_EVENTS_S: Final = 10.0
INTERVAL_WITHOUT_EVENTS_S: Final = 2.0
# Scans never take more than a tenth of the time, however many hints come or files lie there.
_PAUSE_PER_SCAN: Final = 9.0
_LEAST_PAUSE_S: Final = 0.05
# A single file is worth a line in the log once it has been alone for this long.
_REPORT_AFTER_S: Final = 60.0

_WATCH_ADVICE: Final = {
    errno.ENOSPC: "raise fs.inotify.max_user_watches; until then the scan finds all",
    errno.EMFILE: "raise fs.inotify.max_user_instances; until then the scan finds all",
}


# What a claim meets in a sub-folder of another user, in one that is a mount of its own, or at a
# file that may not be moved.
_OF_ONE_FOLDER: Final = {errno.EACCES, errno.EPERM, errno.EXDEV}


class Inbox:
    """Ready pairs and waiting files, as of the last `look`. `clock` is monotonic, in seconds."""

    def __init__(
        self, settings: Settings, inbox: Path, wake: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._path = inbox
        self._wake = wake
        self._clock = clock
        self._tasks = set(settings.models())
        self._matting_folders = MattingFolders(settings.matting_folders)
        self._settings = settings
        self._quiet = QuietBook(LOCAL_QUIET_S)
        self.root = _root_of(inbox)
        self._judge()
        self._incomplete = IncompleteBook(settings.incomplete_s)
        self._hints: Hints | None = None
        self._is_watched = False
        self._last_scan = Scan((), (), ())
        self._pairing = Pairing((), ())
        self._skipped: set[str] = set()
        self._waiting_since: dict[str, tuple[str, float, bool]] = {}
        self._ready: list[tuple[float, str, Pair]] = []
        self._unquiet: list[Pair] = []
        self._unreadable: dict[str, Waiting] = {}
        self.next_look = 0.0
        self._earliest_look = 0.0
        self.is_stale = True

    @property
    def quiet_period_s(self) -> float:
        """Seconds that a file must stay unchanged."""
        return self._quiet.period_s

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
        """A hint came: look as soon as is fair."""
        self.next_look = min(self.next_look, self._earliest_look)

    def mark_stale(self) -> None:
        """Note that something has changed since the last look."""
        self.is_stale = True

    def look(self, held: Iterable[str] = ()) -> None:
        """Scan the inbox and sort what is there; `held` are pictures claimed but not done.

        Raises `OSError` if the inbox can't be listed.
        """
        self._watch()
        start = self._clock()
        found = scan(self._path)
        self._report_skipped(found.errors)
        if found.pictures != self._last_scan.pictures:
            self._pairing = pair_up(found.pictures, self._matting_folders)
        self._last_scan = found
        now = self._clock()
        self._quiet.observe(found.pictures, start)
        self._incomplete.forget_all_but([*(entry.path for entry in found.pictures), *held])
        self.is_stale = False
        due = self._sort(now)
        self._report_waiting(now)
        self._earliest_look = now + max(_LEAST_PAUSE_S, _PAUSE_PER_SCAN * (now - start))
        self.next_look = max(self._earliest_look, min(due, now + self._interval_s()))

    def take(self) -> Pair | None:
        """The pair that has been ready for longest, once."""
        while self._ready:
            pair = heapq.heappop(self._ready)[2]
            unreadable = self._why_unreadable(pair)
            if unreadable is None:
                return pair
            self._unreadable[unreadable.path] = unreadable
        return None

    def set_aside(self, pair: Pair, error: OSError, *, others_go: bool) -> bool:
        """Let a pair wait that can't be claimed for a reason of its own or of its own folder's.

        `others_go` says whether other files can be claimed. False where the reason may be the
        inbox's or the work folder's, and so everybody's.
        """
        if error.errno not in _OF_ONE_FOLDER or not others_go:
            return False
        report = Report.of(world_trouble(error, pair.picture.path))
        self._unreadable[pair.picture.path] = Waiting(pair.picture.path, report)
        return True

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
        identities = (pair.picture.identity, pair.companion.identity)
        self._incomplete.remember(pair.picture.path, identities, now, why)
        return not self._incomplete.is_given_up(pair.picture.path, now)

    def incomplete_s(self) -> float:
        """How long a cut off pair may stay unchanged."""
        return self._incomplete.give_up_s

    def waiting(self) -> list[Waiting]:
        """All that stays in the inbox for now, and what it waits for; a pair by its picture."""
        waiting = list(self._pairing.waiting)
        waiting += self._unreadable.values()
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
        if self._hints:
            self._hints.stop()

    def _sort(self, now: float) -> float:
        """Sort the pairs into ready and not; returns when the next one may become ready."""
        due = self._incomplete.due(now) or float("inf")
        unreadable = self._unreadable
        self._ready, self._unquiet, self._unreadable = [], [], {}
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
            elif not self._waits_incomplete(pair, now):
                still = self._why_unreadable(pair) if _paths(pair) & unreadable.keys() else None
                if still is not None:
                    self._unreadable[still.path] = still
                else:
                    self._ready.append((ready_at, pair.picture.path, pair))
        heapq.heapify(self._ready)
        return due

    def _waits_incomplete(self, pair: Pair, now: float) -> str | None:
        identities = (pair.picture.identity, pair.companion.identity)
        return self._incomplete.waits(pair.picture.path, identities, now)

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

    def _why_unreadable(self, pair: Pair) -> Waiting | None:
        for entry in (pair.picture, pair.companion):
            if _is_unreadable(Place(self._path, entry.path)):
                report = Report.of(Trouble("unreadable", path=entry.path))
                return Waiting(entry.path, report)
        return None

    def _judge(self) -> None:
        """What the file system of the inbox, as it is now, allows: events, and a shorter wait."""
        self._filesystem = filesystem_of(self._path)
        local = hears_events(self._filesystem)
        self._use_events = self._settings.events and local
        period = self._settings.quiet_period_s
        if period is None:
            period = LOCAL_QUIET_S if local else NETWORK_QUIET_S
        self._quiet.period_s = period

    def _watch(self) -> None:
        """Keep the observer on the inbox as it is now: made anew where the root or it has gone."""
        about = self._path.stat()
        root = (about.st_dev, about.st_ino)
        first, self._is_watched = not self._is_watched, True
        is_other = root != self.root
        if is_other:
            self.root = root
            self._judge()
            log.warning(Event.INBOX_CHANGED, inbox=str(self._path), filesystem=self._filesystem)
        elif not first and (self._hints is None or self._hints.alive()):
            return
        if self._hints:
            self._hints.stop()
            self._hints = None
        if self._use_events:
            # Armed before the scan, so that nothing falls between the two.
            hints = Hints(self._path, self._wake)
            try:
                hints.start()
            except OSError as error:
                hints.stop()
                log.warning(
                    Event.EVENTS_UNAVAILABLE,
                    why=error.strerror or str(error),
                    advice=_WATCH_ADVICE.get(error.errno or 0, "the scan finds all the same"),
                )
                self._use_events = False
            else:
                self._hints = hints
        if first or self._hints:
            log.info(
                Event.WATCHING,
                inbox=str(self._path),
                filesystem=self._filesystem,
                events=self._hints is not None,
                interval_s=self._interval_s(),
                quiet_period_s=self.quiet_period_s,
            )

    def _interval_s(self) -> float:
        if self._settings.scan_interval_s is not None:
            return self._settings.scan_interval_s
        return INTERVAL_WITH_EVENTS_S if self._hints else INTERVAL_WITHOUT_EVENTS_S

    def _report_skipped(self, errors: tuple[OSError, ...]) -> None:
        """Log each folder that can't be listed, once for as long as it can't."""
        before = self._skipped
        self._skipped = {str(error.filename) for error in errors}
        for error in errors:
            if str(error.filename) not in before:
                log.warning(Event.FOLDER_SKIPPED, path=str(error.filename), why=error.strerror)

    def _report_waiting(self, now: float) -> None:
        """Log each file that waits, once a reason, when it has waited for a while."""
        before = self._waiting_since
        self._waiting_since = {}
        for path, report in self._reportable():
            key, since, told = before.get(path, (report.key, now, False))
            if key != report.key:
                key, since, told = report.key, now, False
            if not told and now - since >= _REPORT_AFTER_S:
                trouble = report.trouble()
                log.info(
                    Event.FILE_WAITS,
                    path=path,
                    reason=key,
                    says=trouble.sentence,
                    advice=trouble.advice,
                )
                told = True
            self._waiting_since[path] = (key, since, told)

    def _reportable(self) -> Iterable[tuple[str, Report]]:
        return ((w.path, w.report) for w in self.waiting() if w.report.key != "not_quiet")


def _root_of(inbox: Path) -> tuple[int, int] | None:
    """Device and inode of the inbox, which are others when something is mounted on it."""
    try:
        about = inbox.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _is_unreadable(place: Place) -> bool:
    """Whether a file is there and may not be read; one that has gone is the claim's to notice."""
    try:
        with place.reached() as (fd, name):
            may = os.access(name, os.R_OK, dir_fd=fd, effective_ids=True, follow_symlinks=False)
    except OSError:
        return False
    return not may and place.is_there()


def _paths(pair: Pair) -> set[str]:
    return {pair.picture.path, pair.companion.path}


def no_model(task: Task) -> Trouble:
    """Why a pair waits for whose task nothing is configured."""
    name = "inpainting" if task == "inpaint" else "matting"
    return Trouble("no_model", task=name, setting=f"{task}_model")
