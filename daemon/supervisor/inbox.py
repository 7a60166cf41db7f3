"""The inbox as the supervisor sees it: which pairs are ready, which files wait, and for what.

Puts the wings of `intake` together; reads the inbox and changes nothing.
"""

import gc
import heapq
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.grouping import Groups
from daemon.intake.hints import Hints
from daemon.intake.matting import MattingFolders
from daemon.intake.pairing import Pair, Pairing, Waiting
from daemon.intake.quiet import IncompleteBook, QuietBook
from daemon.intake.scan import Entry, Folder
from daemon.places import FolderId
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.supervisor.folder_masks import FolderMasks
from daemon.supervisor.folder_models import FolderModels, Key
from daemon.supervisor.notices import Notices
from daemon.supervisor.order import LONG_WAIT_S, Order, Ready
from daemon.supervisor.pace import Pace
from daemon.supervisor.unclaimable import Unclaimable
from daemon.supervisor.watch import Look, Watch

log = structlog.get_logger()

# What waits is told after a minute, so not every look at a single folder goes through all of it,
# and one that does is not to hold up the next.
_NOTICE_EVERY_S: Final = 10.0
# Disks that came lately: of what came with an earlier one, all has waited for long.
_MOST_DISKS: Final = 32


class Inbox:
    """Ready pairs and waiting files, as of the last `look`. `clock` is monotonic, in seconds."""

    def __init__(self, settings: Settings, inbox: Path, clock: Callable[[], float]) -> None:
        self._path = inbox
        self._clock = clock
        self._models = FolderModels(settings)
        self._matting_folders = MattingFolders(settings.matting_folders)
        self._watch = Watch(settings, inbox)
        self._quiet = QuietBook(self._watch.terms.quiet_period_s)
        self._incomplete = IncompleteBook(settings.incomplete_s)
        self._tables = MattingFolders(settings.by_folder)
        self._groups = Groups(self._matting_folders, settings.rules())
        self._masks = FolderMasks(clock)
        self._pairing = Pairing((), ())
        self._folders: Mapping[str, Folder] = {}
        self._unreadable: tuple[Entry, ...] = ()
        self._notices = Notices()
        self._order = Order()
        self._unquiet: list[tuple[float, Pair]] = []
        self._not_ready: list[Pair] = []
        self._lacking = 0
        self._seen_at: dict[str, float] = {}
        self._all_seen_at = 0.0
        self._root_seen: FolderId | None = None
        self._disks_came_at: deque[float] = deque(maxlen=_MOST_DISKS)
        self._taken: set[str] = set()
        self._unclaimable = Unclaimable(inbox)
        self._pace = Pace()
        self._has_fixed_interval = settings.scan_interval_s is not None
        self._noticed_at = 0.0
        self._changes = 0
        self.next_look = 0.0
        self.is_stale = True

    @property
    def quiet_period_s(self) -> float:
        """Seconds that a file must stay unchanged, but on the mounts in the inbox."""
        return self._quiet.period_s

    @property
    def pairing(self) -> Pairing:
        """The pairs of the last look, ready or not, and what else waits by its name alone."""
        return self._pairing

    @property
    def folders(self) -> Mapping[str, Folder]:
        """What the last look found, by folder."""
        return self._folders

    @property
    def models(self) -> FolderModels:
        """Which model works a picture, and what it waits for where none can."""
        return self._models

    def follow_models(self, refused: Mapping[Key, str]) -> None:
        """Let those pictures wait whose folder's model the workers can't use, and no others."""
        if self._models.follow(refused):
            self._changes += 1  # the same pictures may wait for another reason
            self.mark_stale()
            self.hasten()

    def quiet_period_of(self, folder: str) -> float:
        """Seconds that a file in a folder must stay unchanged."""
        return self._quiet.period_of(folder)

    @property
    def has_other_mounts(self) -> bool:
        """Whether the last look found that something in the inbox has been mounted or unmounted."""
        return self._watch.has_other_mounts

    @property
    def root(self) -> FolderId | None:
        """Which folder the inbox is, which is another when something is mounted on it."""
        return self._watch.root

    @property
    def bell(self) -> Hints | None:
        """What rings when something may have changed, for the loop to listen to."""
        return self._watch.bell

    def answer_bell(self) -> None:
        """It has rung: look as soon as is fair, or in a while where something has only gone."""
        if self.bell and self.bell.answer():
            self.hasten()
        else:
            in_a_while = self._clock() + self._watch.terms.interval_s
            self.next_look = min(self.next_look, max(self._pace.soonest, in_a_while))

    def warn_of_missing(self) -> None:
        """Log each folder of the settings that is not there: misspelt, what it says holds nowhere.

        Masks in a matting folder would become holes.
        """
        for name, nearest, advice in _missing(self._matting_folders, self._path, "matting_folders"):
            log.warning(Event.MATTING_FOLDER_MISSING, folder=name, nearest=nearest, advice=advice)
        for name, nearest, advice in _missing(self._tables, self._path, "the settings"):
            log.warning(Event.SETTINGS_FOLDER_MISSING, folder=name, nearest=nearest, advice=advice)

    def hasten(self) -> None:
        """Something may have changed: look as soon as is fair."""
        self.next_look = min(self.next_look, self._pace.soonest)

    def mark_stale(self) -> None:
        """Note that something has changed since the last look."""
        self.is_stale = True

    def look(self, held: Iterable[str] = ()) -> None:
        """See what has changed and sort what is there; `held` are pictures claimed but not done.

        Raises `OSError` if the inbox can't be listed.
        """
        with _uncollected():
            self._look(held)

    def _look(self, held: Iterable[str]) -> None:
        start = self._clock()
        found = self._see(start)
        now = self._note(found, start)
        self._incomplete.forget_all_but(chain((entry.path for entry in _pictures(found)), held))
        self.is_stale = False
        due = self._sort(now, found)
        is_walk = found.seen is None
        if is_walk:
            self._tell_of_waiting(now)
        self._set_pace(found, start)
        self.next_look = max(self._pace.soonest, min(due, self._pace.walk_at, self._pace.round_at))
        if not is_walk and now >= self._noticed_at + _NOTICE_EVERY_S:
            self._tell_of_waiting(now)

    def _note(self, found: Look, start: float) -> float:
        """Take note of what a look found; returns the time up to which that is known."""
        self._folders = found.folders
        folders = found.folders.values()
        self._notices.skipped(tuple(chain.from_iterable(folder.errors for folder in folders)))
        self._unreadable = tuple(chain.from_iterable(f.unreadable.values() for f in folders))
        self._quiet.period_s = self._watch.terms.quiet_period_s
        below = self._watch.terms_below()
        self._quiet.periods_s = {folder: each.quiet_period_s for folder, each in below.items()}
        if self.has_other_mounts or self._root_seen != self.root:
            self._root_seen = self.root
            self._disks_came_at.append(start)
        pairing = self._groups.pair_up(found.folders)
        if pairing is not self._pairing:
            self._pairing = pairing
            self._changes += 1
            self._quiet.observe(found.folders, start)
        now = self._clock()
        if found.seen is None:
            self._all_seen_at, self._seen_at = now, {}
        else:
            self._seen_at.update(dict.fromkeys(found.seen, now))
        return now

    def _tell_of_waiting(self, now: float) -> None:
        self._noticed_at = now
        self._notices.waiting(self.waiting(), now)

    def take(self) -> Pair | None:
        """The pair whose turn it is, once; see `order`."""
        while (pair := self._order.take()) is not None:
            if self._why_helpless(pair):  # since the last look
                self._not_ready.append(pair)
                self._lacking += 1
            elif not self._unclaimable.lacks_rights(pair, self._clock()):
                self._taken |= pair.folders
                return pair
        return None

    def set_aside(self, pair: Pair, error: OSError, *, others_go: bool) -> bool:
        """Let a pair wait that can't be claimed; see `Unclaimable.refuse`."""
        return self._unclaimable.refuse(pair, error, self._clock(), others_go=others_go)

    def put_back(self, pair: Pair) -> None:
        """Keep a pair ready that could not be claimed: the next try must not lack one."""
        now = self._clock()
        is_new = self._is_new(pair, self._ready_at(pair) or now, now)
        self._order.put(Ready(now, pair.picture.path, pair), is_new=is_new)

    def ready_since(self) -> float | None:
        """Since when the pair that `take` would give has been ready."""
        return self._order.since

    def oldest_ready_since(self) -> float | None:
        """Since when the pair has been ready that has waited for longest."""
        return self._order.oldest

    def ready_pairs(self, most: int) -> list[Pair]:
        """So many of the ready pairs, the next first."""
        return self._order.upcoming(most)

    def ready_count(self) -> int:
        """How many pairs are ready or will be, once they are quiet."""
        return len(self._order) + len(self._unquiet)

    def lacking_count(self) -> int:
        """How many files wait for something else than time or a worker, as `waiting` tells them."""
        waiting = len(self._pairing.waiting) + len(self._unclaimable.waiting())
        return waiting + len(self._unreadable) + self._lacking

    def is_settling(self) -> bool:
        """True while a complete pair is not yet quiet."""
        return bool(self._unquiet)

    def settling(self, most: int) -> list[str]:
        """The pictures of complete pairs that are not yet quiet, the next first."""
        unquiet = [(ready_at, pair.picture.path) for ready_at, pair in self._unquiet]
        return [path for _, path in heapq.nsmallest(most, unquiet)]

    def signs(self) -> tuple[int, ...]:
        """Numbers of which one is another where what is to be told of the inbox may be another."""
        return (
            self._changes,
            len(self._unclaimable.waiting()),
            len(self._order),
            len(self._unquiet),
            len(self._not_ready),
            len(self._unreadable),
        )

    def remember_incomplete(self, pair: Pair, why: Report) -> bool:
        """Note that a pair was cut off, and how; False where that has lasted too long."""
        now = self._clock()
        self._incomplete.remember(pair.picture.path, pair.identities, now, why)
        return not self._incomplete.is_given_up(pair.picture.path, now)

    def refuse_mask(self, mask: str, report: Report) -> None:
        """Note that a folder's mask can't be used: its pictures wait for another."""
        self._masks.refuse(mask, report)

    def incomplete_s(self) -> float:
        """How long a cut off pair may stay unchanged."""
        return self._incomplete.give_up_s

    def waiting(self) -> list[Waiting]:
        """All that stays in the inbox for now, and what it waits for; a pair by its picture."""
        waiting = list(self._pairing.waiting)
        waiting += self._unclaimable.waiting()
        now = self._clock()
        for pair in self._not_ready:
            why = self._why_not_taken(pair, now)
            if why:
                waiting.append(why)
        for entry in self._unreadable:
            suffix = os.path.splitext(entry.path)[1]  # noqa: PTH122 - a path with slashes, no Path
            waiting.append(
                Waiting(entry.path, Report.of(Trouble("unreadable_kind", suffix=suffix)))
            )
        return waiting

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def _see(self, start: float) -> Look:
        """Look at all of the inbox where it is time, else where something may have changed.

        Only the end of a change rings. So where one may still go on, and where pairs were taken,
        the look is unasked.
        """
        suspects = None
        if self._watch.hears and start < self._pace.walk_at:
            due = (pair.folders for ready_at, pair in self._unquiet if ready_at <= start)
            suspects = self._taken.union(*due)
        try:
            found = self._watch.look(suspects, goes_round=start >= self._pace.round_at)
        except OSError:
            self._pace.walk_at = 0.0
            raise
        self._taken = set()
        return found

    def _set_pace(self, found: Look, start: float) -> None:
        now, at_all = self._clock(), found.seen is None
        self._pace.looked(
            start,
            now,
            at_all=at_all,
            interval_s=self._watch.terms.interval_s,
            hears=self._watch.hears,
            fixed=self._has_fixed_interval,
        )
        if at_all or start >= self._pace.round_at:
            deaf = self._watch.deaf().values()
            soonest = min((terms.interval_s for terms in deaf), default=float("inf"))
            self._pace.went_round(start, now, at_all=at_all, interval_s=soonest)
        if not found.is_all:
            self._pace.hurry_walk()

    def _sort(self, now: float, found: Look) -> float:
        """Sort the pairs into ready and not; returns when the next one may become ready."""
        due = self._incomplete.due(now) or float("inf")
        new: list[Ready] = []
        backlog: list[Ready] = []
        self._unquiet, self._not_ready, self._lacking = [], [], 0
        self._unclaimable.forget_all_but(self._pairing.pairs)
        self._masks.look_anew()
        for pair in self._pairing.pairs:
            ready_at = self._ready_at(pair)
            if ready_at is not None and (ready_at > now or not self._was_seen(pair, ready_at)):
                self._unquiet.append((ready_at, pair))
                due = min(due, ready_at)
            elif ready_at is None or self._lacks_something(pair, now):
                self._lacking += 1
            elif not self._unclaimable.still_waits(pair, now, found.seen):
                turns = new if self._is_new(pair, ready_at, now) else backlog
                turns.append(Ready(ready_at, pair.picture.path, pair))
                continue
            self._not_ready.append(pair)
        self._order.fill(new, backlog)
        return due

    def _is_new(self, pair: Pair, ready_at: float, now: float) -> bool:
        """Whether a pair has been dropped while we looked on, and not long ago."""
        if now - ready_at >= LONG_WAIT_S:
            return False
        came_at = max(self._quiet.came_at(entry) for entry in pair.inputs)
        return came_at not in self._disks_came_at

    def _ready_at(self, pair: Pair) -> float | None:
        """When both files will be quiet; None where nobody knows, or no model is for them."""
        if self._models.why_waiting(pair.task, pair.picture.path):
            return None
        quiet_at = 0.0
        for entry in pair.inputs:
            when = self._quiet.quiet_at(entry)
            if when is None:
                return None
            quiet_at = max(quiet_at, when)
        return quiet_at

    def _was_seen(self, pair: Pair, ready_at: float) -> bool:
        """Whether both files were looked at when they had been quiet for long enough."""
        all_seen_at = self._all_seen_at
        return ready_at <= all_seen_at or all(
            ready_at <= self._seen_at.get(folder, all_seen_at) for folder in pair.folders
        )

    def _lacks_something(self, pair: Pair, now: float) -> Report | None:
        return self._waits_incomplete(pair, now) or self._masks.why_waiting(pair.mask_file)

    def _why_helpless(self, pair: Pair) -> Report | None:
        """What is lacking that is no file of the pair's, but its folder's."""
        lacks_model = self._models.why_waiting(pair.task, pair.picture.path)
        return lacks_model or self._masks.why_waiting(pair.mask_file)

    def _waits_incomplete(self, pair: Pair, now: float) -> Report | None:
        return self._incomplete.waits(pair.picture.path, pair.identities, now)

    def _why_not_taken(self, pair: Pair, now: float) -> Waiting | None:
        path = pair.picture.path
        model = self._models.why_waiting(pair.task, path)
        if model is not None:
            return Waiting(path, model)
        for entry in pair.inputs:
            quiet_at = self._quiet.quiet_at(entry)
            if quiet_at is None:
                return Waiting(entry.path, Report.of(Trouble("empty")))
            if quiet_at > now:
                seconds = self._quiet.period_of(entry.path)
                return Waiting(entry.path, Report.of(Trouble("not_quiet", seconds=seconds)))
        why = self._lacks_something(pair, now)
        return None if why is None else Waiting(path, why)


@contextmanager
def _uncollected() -> Iterator[None]:
    """A look makes objects by the hundred thousand, and no cycles.

    The collector of these would go through all of them again and again, and make many files cost
    more each than few.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _missing(
    named: MattingFolders, inbox: Path, where: str
) -> Iterator[tuple[str, str | None, str]]:
    """Those that are not there, each with what has nearly its name, and what to do."""
    for name in named.missing(inbox):
        nearest = named.nearest(inbox, name)
        is_meant = f"write {nearest} in {where} if that is meant"
        yield (
            name,
            nearest,
            f"make it, or {is_meant if nearest else f'correct its name in {where}'}",
        )


def _pictures(found: Look) -> Iterable[Entry]:
    return chain.from_iterable(folder.pictures.values() for folder in found.folders.values())
