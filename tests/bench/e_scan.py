"""Figure e: scanning and pairing an inbox of 1,000 to 100,000 files."""

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from findings import Bound, CannotMeasureError, Finding, Row
from side_by_side import side_by_side, timed
from workbench import Workbench

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan

TITLE: Final = "scan and pairing, microseconds a file"
COUNTS: Final = (1_000, 3_000, 10_000, 30_000, 100_000)
BUDGET_S: Final = 16.0
_FLAT: Final = Bound("at most", 1.3)
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - tmpfs, where there is one


def measure(
    bench: Workbench, counts: Sequence[int] = COUNTS, budget_s: float = BUDGET_S
) -> Finding:
    """Least time a file at each size, and the largest inbox's over the smallest's."""
    in_memory = os.access(SHARED_MEMORY, os.W_OK)
    parent = SHARED_MEMORY if in_memory else bench.folder
    with tempfile.TemporaryDirectory(prefix="retouchd-bench-", dir=parent) as folder:
        inboxes = {count: fill(Path(folder, str(count)), count) for count in counts}
        cost = costs(inboxes, look, budget_s)
    where = "tmpfs" if in_memory else "the temporary folder"
    rows = [
        Row(f"{count:,} files", micros, "µs", None, f"{where}, pairs of empty files in one folder")
        for count, micros in cost.items()
    ]
    rows.append(flatness(cost))
    details: dict[str, Any] = {"where": where, "microseconds_a_file": cost}
    return Finding(tuple(rows), details)


def costs(
    inboxes: dict[int, Path], work: Callable[[Path, int], None], budget_s: float
) -> dict[int, float]:
    """Microseconds a file, by the number of files."""
    largest = max(inboxes)  # the others are looked at so often that they take as long

    def round_of(inbox: Path, count: int) -> float:
        repeats = max(1, largest // count)
        once = timed(partial(work, inbox, count))
        return sum(once() for _ in range(repeats)) / repeats

    sides = {str(count): partial(round_of, inbox, count) for count, inbox in inboxes.items()}
    times = side_by_side(sides, budget_s, 5)
    return {count: times[str(count)].least / count * 1e6 for count in inboxes}


def flatness(cost: dict[int, float]) -> Row:
    """The row that the bound is for."""
    few, many = min(cost), max(cost)
    return Row(
        f"a file of {many:,} / a file of {few:,}", cost[many] / cost[few], "", _FLAT, "least times"
    )


def look(inbox: Path, count: int) -> None:
    """What a look at the inbox does with files. Raises where it does not find all of them."""
    pairing = pair_up(scan(inbox).pictures)
    if len(pairing.pairs) != count // 2:
        raise CannotMeasureError(f"Of {count // 2} pairs, {len(pairing.pairs)} were found.")


def fill(inbox: Path, count: int) -> Path:
    """An inbox of so many files, half of them masks, all of them empty: nobody opens them."""
    inbox.mkdir()
    for number in range(count // 2):
        (inbox / f"IMG_{number:06}.jpg").touch()
        (inbox / f"IMG_{number:06}_mask.png").touch()
    return inbox
