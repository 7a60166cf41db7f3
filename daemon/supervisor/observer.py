"""Makes snapshots of all that goes on, for others to tell people and machines of.

Going through a large inbox takes its time. So its lists are made anew only as often as takes a
small share of it, and a snapshot may hold lists that are a while older than its numbers.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from daemon.intake.pairing import Waiting
from daemon.reasons import Report, Trouble
from daemon.supervisor.attempts import Attempts
from daemon.supervisor.crew import Crew
from daemon.supervisor.hold import Hold
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.job_queue import JobQueue
from daemon.supervisor.joblog import model_line
from daemon.supervisor.leftovers import Leftovers
from daemon.supervisor.member import Stage, Worker
from daemon.supervisor.pause import Pause
from daemon.supervisor.snapshot import MOST_TOLD, OfFolder, Running, Served, Snapshot
from daemon.supervisor.tally import Count, Tally
from daemon.worker.protocol import Hello

# Lists take a hundredth of the time at most: 0.1 s for a hundred thousand files, every ten.
_PAUSE_PER_LIST: Final = 99.0


class Lists(NamedTuple):
    """What a snapshot tells of the inbox by name. `oldest` is a moment by the monotonic clock."""

    ready: tuple[str, ...] = ()
    settling: tuple[str, ...] = ()
    oldest: float | None = None
    waiting: tuple[Waiting, ...] = ()
    waiting_for: Mapping[str, int] = {}


@dataclass
class Observer:
    """Looks at all of a supervisor and changes nothing. `clock` is monotonic, in seconds."""

    inbox: Inbox
    queue: JobQueue
    attempts: Attempts
    count: Count
    crew: Crew
    hold: Hold
    leftovers: Leftovers
    pause: Pause
    clock: Callable[[], float]
    started_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._lists = Lists()
        self._listed: tuple[int, ...] = ()
        self._next_lists = float("-inf")
        self._holds_since: float | None = None

    def tally(self) -> Tally:
        """How far the work has come."""
        ready = self.inbox.ready_count() + len(self.queue)
        lacking = self.inbox.lacking_count()
        running = len(self.attempts.running)
        return Tally(self.count.done, self.count.failed, running, ready, lacking)

    def holds(self) -> Trouble | None:
        """What keeps all work from going on, a worker that does not start too."""
        return self.hold.trouble or self.no_worker()

    def no_worker(self) -> Trouble | None:
        """Why nobody is there to do the work; None where somebody is, or may come up yet."""
        is_served = any(worker.hello for worker in self.crew.workers)
        return None if is_served else self.will_not_start()

    def will_not_start(self) -> Trouble | None:
        """Why there is no worker: the last one that was started has said, or died of it."""
        why = self.crew.refusal
        return None if why is None else Trouble("worker_will_not_start", detail=why)

    def signs(self) -> tuple[object, ...]:
        """Of which one is another where a snapshot would be; cheap, for every turn of the loop."""
        holds, stuck = self.holds(), self.leftovers.stuck
        return (
            self.tally(),
            tuple(self.attempts.running),
            holds and holds.sentence,
            stuck and stuck.sentence,
            self.pause.is_on,
            [worker.process.pid for worker in self._serving()],
            self._inbox_signs(),
            self._inbox_signs() != self._listed and self.clock() >= self._next_lists,
        )

    def snapshot(self) -> Snapshot:
        """What is going on now."""
        at, now = time.time(), self.clock()
        if now >= self._next_lists:
            self._make_lists()
        holds, stuck = self.holds(), self.leftovers.stuck
        if holds is None:
            self._holds_since = None
        elif self._holds_since is None:
            self._holds_since = at
        lists = self._lists
        return Snapshot(
            at=at,
            started_at=self.started_at,
            pid=os.getpid(),
            tally=self.tally(),
            running=tuple(self._running()),
            ready=lists.ready,
            settling=lists.settling,
            oldest_ready_at=None if lists.oldest is None else at - (now - lists.oldest),
            waiting=lists.waiting,
            waiting_for=lists.waiting_for,
            holds=_report(holds),
            holds_since=self._holds_since,
            stuck=_report(stuck),
            devices=tuple(self._served()),
            is_paused=self.pause.is_on,
        )

    def look_anew(self) -> None:
        """Let the next snapshot have lists of its own moment, whatever they take."""
        self._next_lists = float("-inf")

    def _inbox_signs(self) -> tuple[int, ...]:
        return *self.inbox.signs(), len(self.queue)

    def _make_lists(self) -> None:
        start = self.clock()
        self._listed = self._inbox_signs()
        queued = [record.picture.path for record in self.queue.records()]
        ready = (pair.picture.path for pair in self.inbox.ready_pairs(MOST_TOLD))
        waiting = self.inbox.waiting()
        # What only needs a moment more is told last: of very many not all are.
        waiting.sort(key=lambda each: each.report.key == "not_quiet")
        self._lists = Lists(
            ready=(*queued, *ready)[:MOST_TOLD],
            settling=tuple(self.inbox.settling(MOST_TOLD)),
            oldest=self.inbox.oldest_ready_since(),
            waiting=tuple(waiting[:MOST_TOLD]),
            waiting_for=dict(Counter(each.report.key for each in waiting)),
        )
        now = self.clock()
        self._next_lists = now + _PAUSE_PER_LIST * (now - start)

    def _running(self) -> list[Running]:
        return [
            Running(
                job=job,
                picture=record.picture.path,
                task=record.task,
                since=self.attempts.since[job],
                attempt=record.attempts,
            )
            for job, record in self.attempts.running.items()
        ]

    def _served(self) -> list[Served]:
        return [
            Served(
                worker.hello.device,
                {task: model_line(model) for task, model in worker.hello.models.items()},
                tuple(self._of_folders(worker.hello)),
            )
            for worker in self._serving()
            if worker.hello is not None
        ]

    def _of_folders(self, hello: Hello) -> Iterator[OfFolder]:
        for folder, task, path in self.inbox.models.own:
            model = hello.own_model(task, path)
            # Two of them may be told apart by nothing but their files.
            line = None if model is None else f"{model_line(model)}, {Path(path).name}"
            yield OfFolder(folder, task, line)

    def _serving(self) -> list[Worker]:
        return [w for w in self.crew.workers if w.hello is not None and w.stage is Stage.SERVING]


def _report(trouble: Trouble | None) -> Report | None:
    return None if trouble is None else Report.of(trouble)
