"""Everything an evaluation found, in a file for programs and in one for readers.

results.json: machine, data, methods, cases, every score, the summaries; a number that is infinite
or unknown is null there. table.md: the summaries as Markdown tables.
"""

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models.evaluation.measuring import Score
from models.evaluation.methods import Method
from models.evaluation.output import RESULTS, TABLES
from models.evaluation.summary import Difference, Mean, Times, differences, groups_of, means, times
from models.evaluation.tables import difference_table, mean_table, method_table, time_table
from models.evaluation.tasks import Case, Task
from models.training.drafts import write_whole


@dataclass(frozen=True)
class Report:
    """An evaluation's findings, and what they were found on. `data`: pack, split, choices."""

    task: Task
    data: Mapping[str, Any]
    machine: Mapping[str, Any]
    methods: Sequence[Method]
    cases: Sequence[Case]
    scores: Sequence[Score]

    @property
    def means(self) -> list[Mean]:
        return means(self.cases, self.scores, self.methods, self.task.metrics)

    @property
    def differences(self) -> list[Difference]:
        return differences(self.cases, self.scores, self.methods, self.task.metrics)

    @property
    def times(self) -> list[Times]:
        return times(self.scores, self.methods)


def describe_machine() -> dict[str, Any]:
    """The processor and the threads that the times were taken with."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def threads() -> dict[str, Any]:
    """How many threads each of the libraries may use: by its own word, else by the environment."""
    numba = os.environ.get("NUMBA_NUM_THREADS")
    return {
        "torch": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "numba": int(numba) if numba and numba.isdigit() else len(os.sched_getaffinity(0)),
    }


def write_results(report: Report, folder: Path) -> None:
    """Write results.json."""
    content = {
        "task": report.task.name,
        "data": report.data,
        "machine": report.machine,
        "methods": [
            {"name": m.name, "kind": m.kind, "about": m.about, **m.facts} for m in report.methods
        ],
        "cases": [
            {"name": c.name, "groups": c.groups, "subject": c.subject, **c.facts}
            for c in report.cases
        ],
        "scores": [asdict(score) for score in report.scores],
        "means": [asdict(row) for row in report.means],
        "differences": [asdict(row) for row in report.differences],
        "times": [asdict(row) for row in report.times],
    }
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(folder / RESULTS, lambda out: out.write(f"{text}\n".encode()))


def write_tables(report: Report, folder: Path) -> str:
    """Write table.md; gives its text."""
    metrics = report.task.metrics
    found = report.means
    parts = [_opening(report), "## Means", *_notes(report)]
    parts += [mean_table(group, found, metrics) for group in groups_of(report.cases)]
    gaps = report.differences
    if gaps:
        parts += ["## Differences", DIFFERENCES_NOTE]
        parts += [difference_table(metric, gaps) for metric in metrics if metric.compared]
    parts += ["## Time for a picture", _time_note(report), time_table(report.times)]
    parts += ["## Methods", method_table(report.methods)]
    text = "\n\n".join(parts) + "\n"
    write_whole(folder / TABLES, lambda out: out.write(text.encode()))
    return text


DIFFERENCES_NOTE = (
    "The mean of the differences over the same pictures ± its standard error, with pictures of one "
    "subject counted as one witness; in brackets in how many pictures the artifact is better. A "
    "difference below twice its standard error may be chance."
)


def _opening(report: Report) -> str:
    told = ", ".join(f"{key} {value}" for key, value in report.data.items())
    return f"# retouchd-evaluate {report.task.name}\n\nData: {told}."


def _notes(report: Report) -> list[str]:
    if report.task.name == "inpaint":
        return [
            "L1 is in grey levels of 255. In the hole: over the missing pixels only. Whole: over "
            "the composed picture, whose known pixels are right in every method. PSNR is the mean "
            "of the pictures' dB values. ↑: more is better, ↓: less is better."
        ]
    return [
        "Over the trimap's unknown pixels, alpha as 0..1; SAD, gradient and connectivity are sums "
        "/ 1000 for a picture of this size. ↑: more is better, ↓: less is better."
    ]


def _time_note(report: Report) -> str:
    machine = report.machine
    told = ", ".join(f"{key}: {value}" for key, value in machine["threads"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores; threads: {told}. One call for each "
        "picture, compilation left out. CPU time is that of all threads together."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform


def _finite(value: Any) -> Any:
    """The same content with null for numbers that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
