"""One evaluation from what was asked for to the files that answer it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.evaluation.artifact import load_artifacts
from models.evaluation.examples import choose_cases, draw_examples
from models.evaluation.inpaint_cases import inpaint_cases
from models.evaluation.matting_cases import matting_cases
from models.evaluation.measuring import Bench, measure
from models.evaluation.methods import EvaluationError, Method, TaskName
from models.evaluation.output import SHEET, refuse_foreign
from models.evaluation.peers import choose_peers, peer_names
from models.evaluation.report import (
    Report,
    describe_machine,
    threads,
    write_results,
    write_tables,
)
from models.evaluation.results_kept import KeptResults
from models.evaluation.tasks import INPAINT, MATTING, Case
from models.training.drafts import write_whole
from models.training.pack import Split, read_cutouts, read_photos

KEPT = "peers"


@dataclass(frozen=True)
class Choice:
    """What is to be evaluated, on what, and where the answer goes.

    `per_picture`: crops of a photo, or photos a cut-out is put on. `procedural`: pictures of each
    procedural kind. `limit`: photos or cut-outs, all if None. `rows`: of the sheet.
    """

    task: TaskName
    artifacts: Sequence[Path]
    data: Path
    split: Split
    size: int
    per_picture: int
    procedural: int
    limit: int | None
    peers: str
    rows: int
    output: Path


def evaluate(choice: Choice) -> str:
    """Measure, and write results.json, table.md and sheet.png; gives the tables' text.

    Raises `EvaluationError`, `PackError`, and `OSError` where the output can't be written.
    """
    refuse_foreign(choice.output)
    task = INPAINT if choice.task == "inpaint" else MATTING
    methods = _methods(choice)
    cases, left_out = _cases(choice)
    machine = describe_machine()
    examples = choose_cases(cases, choice.rows)
    choice.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(KeptResults(choice.output / KEPT, str(threads())))
    with _progress(len(cases) * len(methods)) as told:
        shown = [case.name for case in examples]
        scores, results = measure(task, methods, cases, bench, shown, told)
    data = _describe_data(choice, cases, left_out)
    report = Report(task, data, machine, methods, cases, scores)
    write_results(report, choice.output)
    leading = {(one.case, one.method): one.errors[task.leading.key] for one in scores}
    title = f"{task.name}, {choice.data.name}, split {choice.split}"
    sheet = draw_examples(task, title, examples, results, leading, choice.size)
    write_whole(choice.output / SHEET, lambda out: sheet.save(out, "PNG", optimize=True))
    return write_tables(report, choice.output)


def _methods(choice: Choice) -> list[Method]:
    """Peers first, then the artifacts. Raises `EvaluationError` where there are none of both."""
    peers = choose_peers(choice.task, choice.peers)
    methods = [*peers, *load_artifacts(choice.artifacts, choice.task, peer_names(choice.task))]
    if not methods:
        raise EvaluationError("there is nothing to measure: name an --artifact, or some --peers.")
    return methods


def _cases(choice: Choice) -> tuple[list[Case], list[str]]:
    """The cases, and the names of photos or cut-outs that make none."""
    photos = read_photos(choice.data, choice.split)
    if not photos:
        raise EvaluationError(
            f"--split {choice.split}: {choice.data} has no photos in it. Name another split."
        )
    if choice.task == "inpaint":
        return inpaint_cases(photos, choice.size, choice.per_picture, choice.limit)
    return matting_cases(
        photos,
        read_cutouts(choice.data, choice.split),
        size=choice.size,
        per_cutout=choice.per_picture,
        procedural=choice.procedural,
        limit=choice.limit,
    )


def _describe_data(
    choice: Choice, cases: Sequence[Case], left_out: Sequence[str]
) -> dict[str, Any]:
    described = {
        "pack": choice.data.name,
        "split": choice.split,
        "size": f"{choice.size} px",
        "pictures": len(cases),
        "subjects": len({case.subject for case in cases}),
    }
    if choice.data.is_file():
        with choice.data.open("rb") as file:
            described["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    if left_out:
        described["left out"] = ", ".join(left_out)
    return described


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr; the block calls what it is given after every step."""
    columns = (
        TextColumn("measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("measuring", total=total)
        yield lambda: progress.advance(bar)
