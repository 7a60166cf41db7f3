"""What is going on, at one moment: all that people and machines are told of it.

Made by the supervisor at its turns and handed to `on_change`; it holds no file open and changes no
more, so whoever gets it may take his time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from daemon.intake.pairing import Task, Waiting
from daemon.reasons import Report
from daemon.supervisor.tally import Tally

# An inbox may hold a hundred thousand files; of more than these only the numbers are told.
MOST_TOLD: Final = 1000


@dataclass(frozen=True)
class Running:
    """A job that a worker has in hand, since when (seconds since 1970), and which try it is."""

    job: str
    picture: str
    task: Task
    since: float
    attempt: int


@dataclass(frozen=True)
class OfFolder:
    """A folder's own model for a task, in one line; None where it can't be used."""

    folder: str
    task: Task
    model: str | None


@dataclass(frozen=True)
class Served:
    """A device with a worker that is ready, and for each task its model, in one line.

    `folders` are those that have one of their own.
    """

    device: str
    models: Mapping[Task, str]
    folders: tuple[OfFolder, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """What is going on. Times are seconds since 1970; paths are relative to the inbox.

    `ready` are the pictures of pairs that wait only for their turn, the next first, and `settling`
    those that must stay unchanged for a while yet; `oldest_ready_at` is since when the longest
    waiting of the first has been ready. `waiting` is what lacks something, with `waiting_for`
    counting all of it by reason. None of the three lists is longer than `MOST_TOLD`. `holds` is
    what keeps all work from going on, `stuck` what keeps one job.
    """

    at: float
    started_at: float
    pid: int
    tally: Tally
    running: tuple[Running, ...] = ()
    ready: tuple[str, ...] = ()
    settling: tuple[str, ...] = ()
    oldest_ready_at: float | None = None
    waiting: tuple[Waiting, ...] = ()
    waiting_for: Mapping[str, int] = field(default_factory=dict)
    holds: Report | None = None
    holds_since: float | None = None
    stuck: Report | None = None
    devices: tuple[Served, ...] = ()
    is_paused: bool = False

    @property
    def lacking(self) -> list[Waiting]:
        """Those of `waiting` that lack something."""
        return [each for each in self.waiting if each.report.key != "not_quiet"]

    @property
    def unquiet(self) -> list[Waiting]:
        """Those of `waiting` that only have to stay as they are for a moment."""
        return [each for each in self.waiting if each.report.key == "not_quiet"]

    @property
    def settling_count(self) -> int:
        """How many pairs settle; of very many the list has only the first."""
        listed = len(self.settling)
        settling = self.waiting_for.get("not_quiet", 0)
        return listed if listed < MOST_TOLD else max(listed, settling)

    @property
    def lacking_count(self) -> int:
        """How many files wait for something else than their turn, as of the lists.

        What is not quiet needs nobody: it only has to stay as it is for a moment.
        """
        return sum(number for key, number in self.waiting_for.items() if key != "not_quiet")
