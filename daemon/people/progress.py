"""The progress bar of `retouchd once`, and its closing words."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from daemon.reasons import one_line
from daemon.supervisor.snapshot import Snapshot
from daemon.supervisor.tally import Summary


@contextmanager
def progress_bar() -> Iterator[Callable[[Snapshot], None]]:
    """Show a bar on standard error where that is a terminal; yields what feeds it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("pairs", total=None)

        def feed(snapshot: Snapshot) -> None:
            tally = snapshot.tally
            finished = tally.done + tally.failed
            total = finished + tally.running + tally.ready
            progress.update(bar, completed=finished, total=total or None)

        yield feed


def print_summary(summary: Summary) -> None:
    """Say on standard output what was done, what failed and what still waits, and why."""
    # Plain text: a file may be called [red] or :cat:.
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(f"{summary.done} done, {summary.failures} failed, {len(summary.waiting)} waiting")
    for path, sentence in summary.failed:
        console.print(f"failed:  {one_line(path)}: {sentence}")
    for waiting in sorted(summary.waiting, key=lambda w: w.path):
        trouble = waiting.report.trouble()
        console.print(f"waiting: {one_line(waiting.path)}: {trouble.sentence} {trouble.advice}")
    if summary.held:
        console.print(f"stopped: {summary.held.sentence} {summary.held.advice}")
