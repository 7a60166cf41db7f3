"""The summary as Markdown, for a document; every table says what it is over."""

import math
from collections.abc import Sequence

from models.evaluation.methods import Method
from models.evaluation.summary import Difference, Mean, Times
from models.evaluation.tasks import Metric


def mean_table(group: str, rows: Sequence[Mean], metrics: Sequence[Metric]) -> str:
    """One group: a row for each method, a column for each metric."""
    of_group = [row for row in rows if row.group == group]
    cells = {(row.method, row.metric): row.mean for row in of_group}
    lines = _head(["method", *(_with_arrow(metric) for metric in metrics)])
    for method in dict.fromkeys(row.method for row in of_group):
        values = [_number(cells[method, metric.key], metric.decimals) for metric in metrics]
        lines.append(_line([method, *values]))
    return f"### {group}: {of_group[0].pictures} pictures\n\n" + "\n".join(lines)


def difference_table(metric: Metric, rows: Sequence[Difference]) -> str:
    """One metric: a row for each artifact and peer, a column for each group."""
    of_metric = [row for row in rows if row.metric == metric.key]
    groups = list(dict.fromkeys(row.group for row in of_metric))
    cells = {(row.artifact, row.peer, row.group): row for row in of_metric}
    lines = _head(["artifact minus peer", *groups])
    for artifact, peer in dict.fromkeys((row.artifact, row.peer) for row in of_metric):
        values = [_difference(cells[artifact, peer, group], metric) for group in groups]
        lines.append(_line([f"{artifact} minus {peer}", *values]))
    return f"### {_with_arrow(metric)}\n\n" + "\n".join(lines)


def time_table(rows: Sequence[Times]) -> str:
    """A row for each method."""
    lines = _head(["method", "median, s", "mean, s", "median CPU time, s", "pictures", "from"])
    for row in rows:
        numbers = [f"{value:.3f}" for value in (row.median, row.mean, row.cpu_median)]
        origin = f"earlier runs: {row.kept}" if row.kept else "this run"
        lines.append(_line([row.method, *numbers, str(row.pictures), origin]))
    return "\n".join(lines)


def method_table(methods: Sequence[Method]) -> str:
    """What each method is."""
    lines = _head(["method", "kind", "what it is"], numbers=False)
    lines += [_line([method.name, method.kind, method.about]) for method in methods]
    return "\n".join(lines)


def _with_arrow(metric: Metric) -> str:
    return f"{metric.heading} {'↑' if metric.more_is_better else '↓'}"


def _difference(row: Difference, metric: Metric) -> str:
    """`+0.31 ± 0.08 (44 of 54)`"""
    error = _number(row.standard_error, metric.decimals)
    mean = _number(row.mean, metric.decimals, sign="+")
    return f"{mean} ± {error} ({row.better} of {row.pictures})"


def _number(value: float, decimals: int, sign: str = "") -> str:
    if math.isnan(value):
        return "?"
    return f"{value:{sign}.{decimals}f}" if math.isfinite(value) else f"{value:{sign}}"


def _head(names: Sequence[str], numbers: bool = True) -> list[str]:
    rule = "---:" if numbers else "---"
    return [_line(names), _line(["---", *[rule] * (len(names) - 1)])]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
