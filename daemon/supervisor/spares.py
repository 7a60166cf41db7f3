"""When a second worker is started beside one whose oldest job is about to take too long.

Promises: a pair that ends its worker by taking too long keeps the others waiting no longer than its
time limit, wherever a worker starts in less than half of that; else for two starts at most. The
replacement is started while the late job still has its last seconds; when these are over it has its
models loaded and goes on with the next pair. A pair that ends its worker early costs the others two
starts at most, the one under way when they get ready and its own: there is no telling beforehand.

For these last seconds, and at no other time but a reload's, a device has two workers, with the
memory of two. Where there is not so much, the spare does not come up, and all is as if there were
none; a job that ends in its last seconds after all may miss that memory, and is tried again. A
spare that was not needed is sent away, not kept: a worker that could still do its jobs is never
replaced, and memory for two is never taken for long.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from daemon.supervisor.member import Stage, Worker

# A start is slower than those before where the late job, or somebody else, keeps the machine busy.
RESERVE: Final = 1.5
RESERVE_S: Final = 1.0
# Of a job's time limit: a job that ends within half of it never costs the start of a spare.
MOST_OF_LIMIT: Final = 0.5
# Where no start was measured: importing torch and loading models from a slow disk.
UNKNOWN_START_S: Final = 20.0
# A slow first start, on which much was compiled or read from a cold disk, is forgotten in time.
_STARTS_REMEMBERED: Final = 4


class Spares:
    """Knows how long starts take, and so which worker needs a spare when.

    `limit_s` is the time limit of a job.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._starts: deque[float] = deque(maxlen=_STARTS_REMEMBERED)

    def learn(self, start_s: float) -> None:
        """A worker took so long to get ready."""
        self._starts.append(start_s)

    @property
    def lead_s(self) -> float:
        """How long before a job's deadline its spare is started, in seconds."""
        longest = max(self._starts, default=UNKNOWN_START_S)
        return min(RESERVE * longest + RESERVE_S, MOST_OF_LIMIT * self._limit_s)

    def due(self, worker: Worker, workers: Sequence[Worker]) -> float:
        """When a spare is to be started for what this worker does now; once for each job."""
        is_late_soon = worker.jobs and worker.stage is Stage.SERVING
        if not is_late_soon or worker.is_killed or worker.is_guarded:
            return float("inf")
        if any(is_on_its_way(w) and w.device == worker.device for w in workers):
            return float("inf")  # a reload is bringing one in already
        return worker.deadline - self.lead_s


def spare_for(device: str, workers: Sequence[Worker]) -> Worker | None:
    """The spare that takes a free place on a device, ready or not."""
    return next((w for w in _spares_of(device, workers) if w.is_sound), None)


def is_on_its_way(worker: Worker) -> bool:
    """Whether a reload is bringing it in: it takes a free place when it is ready."""
    return worker.stage is Stage.COMING and worker.is_sound


def not_needed(workers: Sequence[Worker]) -> list[Worker]:
    """Spares for jobs that have ended by now, within their limit."""
    found: list[Worker] = []
    for device in {worker.device for worker in workers if worker.stage is Stage.SPARE}:
        guarded = [w for w in workers if w.stage is Stage.SERVING and w.is_guarded]
        needed = sum(worker.device == device for worker in guarded)
        found += _spares_of(device, workers)[needed:]
    return found


def _spares_of(device: str, workers: Sequence[Worker]) -> list[Worker]:
    return [w for w in workers if w.stage is Stage.SPARE and w.device == device]
