"""Several jobs' steps on the disk at once, so that they share what makes each of them durable.

A journalling file system commits what many wait for in one go. Each job's own steps come in their
order, each on the disk before the next, as they would alone; only between jobs nothing is ordered,
and so what two of them might want the same names for comes one after the other.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Result = TypeVar("Result")

# Measured on an ext4 disk: eight share nearly all of a commit; more gain little, and disturb a
# disk with heads.
AT_ONCE: Final = 8


def all_together(
    steps: Sequence[tuple[Hashable, Callable[[], Result]]],
) -> list["Future[Result]"]:
    """Take all these steps, each with a key; returns when all have ended, well or not.

    Those of one key are taken one after the other, in their order. One that is alone is taken in
    this thread.
    """
    chains: dict[Hashable, list[tuple[Future[Result], Callable[[], Result]]]] = {}
    futures = []
    for key, step in steps:
        futures.append(Future[Result]())
        chains.setdefault(key, []).append((futures[-1], step))
    if len(chains) == 1:
        _take(*chains.values())
    elif chains:
        # Threads of this moment only: at rest, who uses this has but one.
        with ThreadPoolExecutor(min(AT_ONCE, len(chains))) as pool:
            for _ in pool.map(_take, chains.values()):
                pass
    return futures


def _take(chain: Sequence[tuple["Future[Result]", Callable[[], Result]]]) -> None:
    for future, step in chain:
        try:
            future.set_result(step())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
