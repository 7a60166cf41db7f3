"""Two or more sides measured in turn, round after round, so that a busy minute meets them all."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Gives the seconds it took, by its own account.
Measure = Callable[[], float]


@dataclass(frozen=True)
class Times:
    """Seconds of each round that counts. `is_warm` is False where the one round is the first."""

    seconds: tuple[float, ...]
    is_warm: bool

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def how(self) -> str:
        """Of how many rounds the least is, for a note."""
        return f"least of {len(self.seconds)}" if self.is_warm else "one round, cold"

    def as_json(self) -> dict[str, Any]:
        return {
            "least_s": self.least,
            "median_s": self.median,
            "seconds": list(self.seconds),
            "is_warm": self.is_warm,
        }


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Measure:
    """A measure of how long a call takes."""

    def measure() -> float:
        start = clock()
        work()
        return clock() - start

    return measure


def side_by_side(
    sides: Mapping[str, Measure],
    budget_s: float,
    most_rounds: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Measure every side once a round, until one more round would go beyond the budget.

    Each round takes the sides in the other order. The first round is a warm-up, and counts only
    where there was time for no other.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    start = clock()
    last_round = 0.0
    for number in range(most_rounds + 1):
        began = clock()
        if number and began - start + last_round > budget_s:
            break
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            found[name].append(sides[name]())
        last_round = clock() - began
    return {name: Times(tuple(all_[1:] or all_), len(all_) > 1) for name, all_ in found.items()}
