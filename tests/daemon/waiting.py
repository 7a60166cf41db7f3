"""How long pairs wait while others are tried again and again, and how long they may.

A try that ended badly queues again behind every pair that is ready by then. So between a pair's
becoming ready and its start, at most one try of each poisonous job is made: the one that was
running, or queued, when the pair became ready. A try that takes too long costs its time limit, as
the next worker stands ready by then; one that ends its worker early costs the start of the next. A
pair that becomes ready just after a worker died waits for the end of that start too. So each
poisonous job costs the time limit at most, wherever that is as long as two starts.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil
from driver import QUIET_S, Daemon

# From being quiet to being seen to be, from being late to being killed: the daemon's own pace, on
# a slow machine.
PACE_S = 1.0


@dataclass(frozen=True)
class Good:
    """A pair that nothing is wrong with; it was whole in the inbox at `dropped_at`."""

    picture: str
    seed: int
    dropped_at: float

    @property
    def ready_at(self) -> float:
        """The earliest moment from which it may be taken."""
        return self.dropped_at + QUIET_S


@dataclass(frozen=True)
class Wait:
    """A good pair's time from being ready to its start, in seconds.

    `tries` is the most tries that a single poisonous job began in it; `others_s` is the time that
    other good pairs took.
    """

    picture: str
    seconds: float
    tries: int
    others_s: float


def moment(logged: dict[str, Any]) -> float:
    """When an event was logged, in seconds as `time.time` has them."""
    return datetime.fromisoformat(logged["timestamp"]).timestamp()


def waits(daemon: Daemon, goods: Sequence[Good], poisons: Sequence[str]) -> list[Wait]:
    """How long each good pair waited beside these poisonous pictures."""
    spans = {good.picture: _span(daemon, good.picture) for good in goods}
    found = []
    for good in goods:
        start, _ = spans[good.picture]
        tries = [
            sum(
                good.ready_at + PACE_S < moment(begun) < start
                for begun in daemon.seen("job_started", picture=poison)
            )
            for poison in poisons
        ]
        others = sum(
            min(end, start) - max(begin, good.ready_at)
            for begin, end in spans.values()
            if begin < start and end > good.ready_at
        )
        found.append(Wait(good.picture, start - good.ready_at, max(tries), others))
    return found


class Starts:
    """How long a daemon's workers took to get ready, of those that live when `look` is called."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._seconds: dict[int, float] = {}

    def look(self) -> None:
        for logged in self._daemon.seen("worker_started"):
            pid = logged["pid"]
            if pid not in self._seconds and psutil.pid_exists(pid):
                with suppress(psutil.NoSuchProcess):
                    began = psutil.Process(pid).create_time()
                    self._seconds[pid] = moment(logged) - began

    @property
    def longest_s(self) -> float:
        return max(self._seconds.values())


def _span(daemon: Daemon, picture: str) -> tuple[float, float]:
    return (
        moment(daemon.seen("job_started", picture=picture)[0]),
        moment(daemon.seen("job_finished", picture=picture)[-1]),
    )
