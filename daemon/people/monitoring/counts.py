"""How jobs have ended since this daemon began, in numbers that only grow.

They begin at 0 with each start, as Prometheus expects of counters; the book has the years before.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from daemon.spool.book import Ended, Outcome

# A worker that an intruder holds may call its steps what it likes, and each name is kept for ever
# by whoever collects. It has six.
_STEP: Final = re.compile(r"[a-z_]{1,20}", re.ASCII)
_MOST_STEPS: Final = 16
_LONGEST_S: Final = 1e6
OTHER_STEPS: Final = "other"


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
    jobs: dict[str, Spent] = field(default_factory=dict)
    steps: dict[tuple[str, str], Spent] = field(default_factory=dict)
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
            self.steps.setdefault((ended.task, self._known(step)), Spent()).add(seconds)

    def _known(self, step: str) -> str:
        known = {name for _, name in self.steps}
        is_fine = step in known or len(known) < _MOST_STEPS
        return step if is_fine and _STEP.fullmatch(step) else OTHER_STEPS
