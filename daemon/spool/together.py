"""Several jobs' steps on the disk at once, so that they share what makes each of them durable.

A journalling file system commits what many wait for in one go. Each job's own steps come in their
order, each on the disk before the next, as they would alone; only between jobs nothing is ordered,
and so what two of them might want the same names for comes one after the other.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

Result = TypeVar("Result")
_Chain = list[tuple["Future[Result]", Callable[[], Result]]]

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
    chains: dict[Hashable, _Chain[Result]] = {}
    futures = []
    for key, step in steps:
        futures.append(Future[Result]())
        chains.setdefault(key, []).append((futures[-1], step))
    waiting = deque(chains.values())
    # Threads of this moment only: at rest, who uses this has but one.
    helping = _started(min(AT_ONCE, len(chains)) - 1, partial(_take_all, waiting))
    _take_all(waiting)
    for thread in helping:
        thread.join()
    return futures


def _started(count: int, work: Callable[[], None]) -> list[threading.Thread]:
    """So many threads, or as many as are to be had; this one can do it all."""
    threads: list[threading.Thread] = []
    with suppress(RuntimeError):
        for _ in range(count):
            thread = threading.Thread(target=work)
            thread.start()
            threads.append(thread)
    return threads


def _take_all(waiting: "deque[_Chain[Result]]") -> None:
    with suppress(IndexError):
        while True:
            _take(waiting.popleft())


def _take(chain: "_Chain[Result]") -> None:
    for future, step in chain:
        try:
            future.set_result(step())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
