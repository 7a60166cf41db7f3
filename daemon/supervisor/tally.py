"""How far the work has come: counted, in numbers and in words, and summed up at the end."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from daemon.intake.pairing import Waiting
from daemon.reasons import Trouble

# Failures that are remembered by name. A daemon runs for years, and its log has them all.
MOST_LISTED: Final = 1000


@dataclass(frozen=True)
class Tally:
    """How far the work has come: pairs done, failed, in work, and ready or settling.

    `lacking` are the files in the inbox that wait for something else than their turn.
    """

    done: int = 0
    failed: int = 0
    running: int = 0
    ready: int = 0
    lacking: int = 0

    def in_words(
        self,
        holds: Trouble | None = None,
        stuck: Trouble | None = None,
        *,
        is_paused: bool = False,
    ) -> str:
        """One line for a status: what keeps all work from going on, else what one job, else how it
        goes; and before it that people have asked for a pause, where they have."""
        if is_paused:
            return f"paused, until retouchd resume: {self.in_words(holds, stuck)}"
        if holds is not None:
            return f"holding: {holds.sentence} {holds.advice}"
        counts = f"{self.done} done, {self.failed} failed"
        if stuck is not None:
            return f"{counts}; one job is stuck: {stuck.sentence} {stuck.advice}"
        if self.running or self.ready:
            return f"{counts}, {self.running} in work, {self.ready} waiting their turn"
        if self.lacking:
            files = "1 file waits" if self.lacking == 1 else f"{self.lacking} files wait"
            return f"{counts}; {files} in the inbox: `retouchd status` says for what"
        return f"{counts}, nothing to do"


@dataclass(frozen=True)
class Summary:
    """How a run ended. Of many failures only the last are listed."""

    done: int
    failures: int
    failed: tuple[tuple[str, str], ...]
    waiting: tuple[Waiting, ...]
    held: Trouble | None
    was_stopped: bool


class Count:
    """How many jobs have ended, and how."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self._listed: deque[tuple[str, str]] = deque(maxlen=MOST_LISTED)
        self._unsettled: set[str] = set()

    def add_done(self, jobs: int = 1) -> None:
        """Count jobs that succeeded."""
        self.done += jobs

    def add_failed(self, job: str, picture: str, sentence: str) -> None:
        """Count a job that was given up; it is known until it is forgotten."""
        self._unsettled.add(job)
        self.failed += 1
        self._listed.append((picture, sentence))

    def knows(self, job: str) -> bool:
        """Whether a failed job was counted, though its files are not put away yet."""
        return job in self._unsettled

    def forget(self, job: str) -> None:
        """All of a failed job is done."""
        self._unsettled.discard(job)

    def summary(
        self, waiting: Iterable[Waiting], held: Trouble | None, was_stopped: bool
    ) -> Summary:
        """What is said at the end; `held` is what kept the work from going on, if anything did."""
        failed = tuple(self._listed)
        return Summary(self.done, self.failed, failed, tuple(waiting), held, was_stopped)
