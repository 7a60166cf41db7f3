"""Whose turn it is: the jobs that are claimed and wait for a worker, and the claiming of pairs.

Which of the pairs is next, `order` says.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from daemon.events import Event
from daemon.intake.pairing import Pair, rule_of
from daemon.places import Place
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.record import Record
from daemon.spool.together import all_together
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.leftovers import Leftovers
from daemon.supervisor.workplace import Workplace

log = structlog.get_logger()


@dataclass(frozen=True)
class _Queued:
    """A claimed job to be run (again), and since when it has waited: 0 goes before all pairs."""

    record: Record
    since: float


class JobQueue:
    """Claimed jobs in the order of their turns. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        settings: Settings,
        workplace: Workplace,
        inbox: Inbox,
        leftovers: Leftovers,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._workplace = workplace
        self._inbox = inbox
        self._leftovers = leftovers
        self._clock = clock
        self._queue: deque[_Queued] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def records(self) -> list[Record]:
        """All that wait, first come first."""
        return [queued.record for queued in self._queue]

    def put_back(self, record: Record) -> None:
        """A job that could not be begun stays the first."""
        self._queue.appendleft(_Queued(record, 0.0))

    def take_up(self, record: Record) -> None:
        """Queue a job of an earlier run: before all pairs, for it has waited for longest."""
        self._queue.append(_Queued(record, 0.0))

    def put_last(self, record: Record) -> None:
        """Queue a job that was tried: after the pairs that are ready by now."""
        self._queue.append(_Queued(record, self._clock()))

    def claim_ahead(self, count: int) -> None:
        """Claim up to so many ready pairs at once, where none wait that are claimed already.

        Their turn has come, whatever gets ready meanwhile. Raises `OSError` or a `WORLD` trouble
        where one can't be claimed; the others are queued.
        """
        if self._queue:
            return
        pairs: list[Pair] = []
        while len(pairs) < count and (pair := self._inbox.take()) is not None:
            pairs.append(pair)
        steps = [(pair.picture.path, partial(self._claimed, pair)) for pair in pairs]
        met: OSError | Trouble | None = None
        for pair, claimed in zip(pairs, all_together(steps), strict=True):
            try:
                record = self._noted(pair, claimed.result)
            except (OSError, Trouble) as error:
                met = met or error
            else:
                if record is not None:
                    self._queue.append(_Queued(record, 0.0))
        if met is not None:
            raise met

    def next_record(self) -> Record | None:
        """The job that is to be run next, or the pair whose turn it is, claimed.

        Raises `OSError` where no pair can be claimed; the pair whose turn it was stays ready.
        """
        while not self._is_before_pairs():
            pair = self._inbox.take()
            if pair is None:
                break
            record = self._noted(pair, partial(self._claimed, pair))
            if record is not None:
                return record
        return self._queue.popleft().record if self._queue else None

    def _is_before_pairs(self) -> bool:
        ready = self._inbox.ready_since()
        return bool(self._queue) and (ready is None or self._queue[0].since <= ready)

    def _claimed(self, pair: Pair) -> Record | None:
        band = self._settings.trimap_band_percent
        return jobs.claim_pair(self._workplace.spool, pair, band)

    def _noted(self, pair: Pair, claimed: Callable[[], Record | None]) -> Record | None:
        """What came of a claim. None where the pair has changed, or waits for its own reason."""
        try:
            record = claimed()
        except OSError as error:
            if not self._inbox.set_aside(pair, error, others_go=self._can_claim()):
                self._inbox.put_back(pair)
                raise
            # What it moved may still lie in work/, where giving it back failed too.
            self._leftovers.look_soon()
            return None
        if record is None:
            self._inbox.mark_stale()
            self._inbox.hasten()
            return None
        log.info(
            Event.PAIR_CLAIMED,
            job=record.job,
            task=record.task,
            picture=pair.picture.path,
            companion=record.told_by,
            how=rule_of(pair),
        )
        return record

    def _can_claim(self) -> bool:
        """Whether a file of our own goes from the inbox to the work folder."""
        spool = self._workplace.spool
        try:
            spool.require_ours()
            files.probe_rename(Place(spool.inbox), spool.jobs)
        except OSError:
            return False
        return True
