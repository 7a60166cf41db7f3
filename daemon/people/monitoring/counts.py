"""How jobs have ended since this daemon began, in numbers that only grow.

They begin at 0 with each start, as Prometheus expects of counters; the book has the years before.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, get_args

from daemon.intake.pairing import Task
from daemon.spool.entries import Ended, Outcome

# Those that the worker times. One that an intruder holds may call its steps what it likes, and each
# name would be kept for ever by whoever collects: another is counted as `other`.
STEPS: Final = ("wait", "read", "trimap", "network", "foreground", "write", "preview")
_LONGEST_S: Final = 1e6
OTHER_STEPS: Final = "other"
TASKS: Final = get_args(Task)


@dataclass
class Spent:
    """Times that were added up, in seconds."""

    total_s: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Add one, as far as it can be: a clock may be set, and a worker may say anything."""
        self.total_s += min(max(0.0, seconds), _LONGEST_S)
        self.count += 1


@dataclass
class Counts:
    """By task and outcome, by reason, and how long it took; when the last of each outcome ended."""

    finished: "Counter[tuple[str, Outcome]]" = field(default_factory=Counter)
    failed: "Counter[str]" = field(default_factory=Counter)
    # At 0 before the first job, or Prometheus would not see that one come.
    jobs: dict[str, Spent] = field(default_factory=lambda: {task: Spent() for task in TASKS})
    steps: dict[tuple[str, str], Spent] = field(
        default_factory=lambda: {(task, step): Spent() for task in TASKS for step in STEPS}
    )
    last_at: dict[Outcome, float] = field(default_factory=dict)

    def add(self, ended: Ended) -> None:
        """Count a job, once for each call."""
        self.finished[ended.task, ended.outcome] += 1
        self.last_at[ended.outcome] = ended.ended_at
        if ended.report is not None:
            self.failed[ended.report.key] += 1
        if ended.facts is None:
            return
        self.jobs.setdefault(ended.task, Spent()).add(ended.ended_at - ended.claimed_at)
        for step, seconds in ended.facts.seconds.items():
            known = step if step in STEPS else OTHER_STEPS
            self.steps.setdefault((ended.task, known), Spent()).add(seconds)
