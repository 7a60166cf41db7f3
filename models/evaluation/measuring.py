"""Run every method on every case, timed alike, and judge what comes out.

Times are those of one call, on this process's threads. Before its first timed call at a size a
method is called at that size untimed, so that compilation (numba's, TorchScript's) is not counted.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from models.evaluation.methods import Method, Picture
from models.evaluation.results_kept import Attempt, KeptResults
from models.evaluation.tasks import Case, Task

# TorchScript compiles anew on the second call at a size, having watched the first.
WARM_UP_CALLS = 2


@dataclass(frozen=True)
class Score:
    """The errors of one method on one case, and its time in seconds; `kept`: an earlier run's."""

    case: str
    method: str
    errors: dict[str, float]
    seconds: float
    cpu_seconds: float
    kept: bool


class Bench:
    """Runs methods one call at a time; remembers which are warm at which size."""

    def __init__(self, kept: KeptResults) -> None:
        self._kept = kept
        self._warm: set[tuple[str, tuple[int, ...]]] = set()

    def run(self, method: Method, picture: Picture, guide: Picture) -> Attempt:
        """The method's result, kept from an earlier evaluation where that may be."""
        found = self._kept.find(method.identity, picture, guide) if method.identity else None
        if found:
            return found
        self._warm_up(method, picture, guide)
        # A copy each: a method that writes into its input must not spoil the next one's.
        arguments = picture.copy(), guide.copy()
        started, cpu_started = time.perf_counter(), time.process_time()
        result = method.run(*arguments)
        cpu_seconds, seconds = time.process_time() - cpu_started, time.perf_counter() - started
        attempt = Attempt(result, seconds, cpu_seconds)
        if method.identity:
            self._kept.keep(method.identity, picture, guide, attempt)
        return attempt

    def _warm_up(self, method: Method, picture: Picture, guide: Picture) -> None:
        size = (method.name, picture.shape)
        if size not in self._warm:
            for _ in range(WARM_UP_CALLS if method.kind == "artifact" else 1):
                method.run(picture.copy(), guide.copy())
            self._warm.add(size)


def measure(
    task: Task,
    methods: Sequence[Method],
    cases: Sequence[Case],
    bench: Bench,
    show: Collection[str] = (),
    told: Callable[[], None] = lambda: None,
) -> tuple[list[Score], dict[str, dict[str, Picture]]]:
    """Every method's score on every case, and the results for the cases named in `show`.

    `told` is called after each method's turn. The results are by case, then by method.
    """
    scores: list[Score] = []
    shown: dict[str, dict[str, Picture]] = {name: {} for name in show}
    for case, method in _turns(cases, methods):
        attempt = bench.run(method, case.picture, case.guide)
        settled = task.settle(case, attempt.result)
        errors = task.errors(case, settled)
        times = attempt.seconds, attempt.cpu_seconds, attempt.kept
        scores.append(Score(case.name, method.name, errors, *times))
        if case.name in shown:
            shown[case.name][method.name] = settled
        told()
    return scores, shown


def _turns(cases: Sequence[Case], methods: Sequence[Method]) -> Iterator[tuple[Case, Method]]:
    for case in cases:
        for method in methods:
            yield case, method
