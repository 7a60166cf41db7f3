"""Figure e: scanning and pairing an inbox of 1,000 to 100,000 files."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from findings import Bound, CannotMeasureError, Finding, Row
from side_by_side import side_by_side, timed
from structlog.testing import capture_logs
from workbench import Workbench

from daemon.settings import Settings
from daemon.supervisor.inbox import Inbox

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
        Row(f"{count:,} files", micros, "µs", None, f"{where}, pairs of small files in one folder")
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
    """The daemon's first look at an inbox. Raises where it does not find all pairs."""
    with capture_logs():
        seen = Inbox(_settings(inbox), inbox, time.monotonic)
        seen.look()
        found = seen.ready_count()
        seen.close()
    if found != count // 2:
        raise CannotMeasureError(f"Of {count // 2} pairs, {found} were found.")


@cache
def _settings(inbox: Path) -> Settings:
    return Settings(inbox=inbox, inpaint_model=inbox)


def fill(inbox: Path, count: int) -> Path:
    """An inbox of so many files, half of them masks, a byte in each: nobody opens them."""
    inbox.mkdir()
    for number in range(count // 2):
        (inbox / f"IMG_{number:06}.jpg").write_bytes(b"1")
        (inbox / f"IMG_{number:06}_mask.png").write_bytes(b"1")
    return inbox
