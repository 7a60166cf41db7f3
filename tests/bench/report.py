"""What was found, for people, programs and eyes: a table, bench.json, bench.png."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from findings import Finding, Row
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.table import Table

JSON_FILE: Final = "bench.json"
PLOT_FILE: Final = "bench.png"
_NARROWEST: Final = 150
_BAR, _BOUND_LINE = "#3b6ea5", "#b5442e"


@dataclass(frozen=True)
class Measured:
    """A figure as it was measured: its letter, what it is called, and how long it took."""

    letter: str
    title: str
    finding: Finding
    seconds: float


def number(value: float | None) -> str:
    """Three digits that count; `-` for a blank."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_table(figures: list[Measured], console: Console | None = None) -> None:
    """Every row with its bound beside it."""
    console = console or Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, _NARROWEST)
    table = Table("", "what", "value", "bound", "", "how", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for figure in figures:
        table.add_row(figure.letter, figure.title, style="bold")
        for row in figure.finding.rows:
            bound = str(row.bound) if row.bound else ""
            value = f"{number(row.value)} {row.unit}" if row.value is not None else "-"
            table.add_row("", f"  {row.what}", value.strip(), bound, row.verdict, row.note)
    console.print(table)


def write_json(figures: list[Measured], machine: Mapping[str, Any], folder: Path) -> Path:
    """Blank values are null."""
    content = {
        "machine": machine,
        "figures": {
            figure.letter: {
                "title": figure.title,
                "seconds": round(figure.seconds, 1),
                "rows": [_row_as_json(row) for row in figure.finding.rows],
                "details": figure.finding.details,
            }
            for figure in figures
        },
    }
    file = folder / JSON_FILE
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
    return file


def _row_as_json(row: Row) -> dict[str, Any]:
    found = asdict(row)
    found["verdict"] = row.verdict or None
    return found


def write_plot(figures: list[Measured], machine: Mapping[str, Any], folder: Path) -> Path:
    """One panel a figure; c and d, which are both seconds, share one."""
    by_letter = {figure.letter: figure for figure in figures}
    panels: list[tuple[str, str, Callable[[Axes, dict[str, Measured]], None]]] = [
        ("a", "a) artifact forward / eager forward", _ratios("a", 1.0)),
        ("b", "b) 'once' over N pairs / N forwards alone", _ratios("b", 1.05)),
        ("cd", "c, d) 12 megapixels, seconds", _seconds_of_large),
        ("e", "e) scan and pairing, µs a file", _scan),
        ("f", "f) drop to result, the rest, s", _latency),
        ("g", "g) % of the chip's peak", _ratios("g", None)),
    ]
    with mpl.rc_context({"font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold"}):
        sheet = Figure(figsize=(12, 6.4), layout="constrained")
        for axes, (letters, title, draw) in zip(sheet.subplots(2, 3).flat, panels, strict=True):
            axes.set_title(title, loc="left")
            axes.spines[["top", "right"]].set_visible(False)
            if any(_has_values(by_letter.get(letter)) for letter in letters):
                draw(axes, by_letter)
            else:
                axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
                axes.set_axis_off()
        sheet.supxlabel(_caption(machine), fontsize=7)
        file = folder / PLOT_FILE
        sheet.savefig(file, dpi=110)
    return file


def _has_values(figure: Measured | None) -> bool:
    return figure is not None and any(row.value is not None for row in figure.finding.rows)


def _caption(machine: Mapping[str, Any]) -> str:
    chip = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads"
    return f"{chip}; torch {machine['torch']}; commit {machine['commit']}; {machine['date']}"


def _ratios(letter: str, line: float | None) -> Callable[[Axes, dict[str, Measured]], None]:
    """Bars, and a line at a bound or at one to one."""

    def draw(axes: Axes, figures: dict[str, Measured]) -> None:
        rows = [row for row in figures[letter].finding.rows if row.value is not None]
        if letter == "a":
            rows = [row for row in rows if row.unit != "%"]
        _bars(axes, [(row.what, row.value or 0.0) for row in rows])
        if line is not None:
            axes.axvline(line, color=_BOUND_LINE, linewidth=1, linestyle="--")

    return draw


def _bars(axes: Axes, values: list[tuple[str, float]]) -> None:
    values = values[::-1]
    bars = axes.barh([_wrapped(name) for name, _ in values], [v for _, v in values], color=_BAR)
    axes.bar_label(bars, [number(value) for _, value in values], padding=3)
    axes.margins(x=0.15)


def _wrapped(name: str, width: int = 26) -> str:
    lines = [""]
    for word in name.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _seconds_of_large(axes: Axes, figures: dict[str, Measured]) -> None:
    values = []
    if _has_values(figures.get("c")):
        about = figures["c"].finding.details
        values += [
            ("the network on all of it (extrapolated)", about["whole"]["seconds"]),
            ("hole of 1 %, end to end", about["times"]["end to end"]["least_s"]),
            ("specks, 1 % all over", about["specks"]["seconds"]),
        ]
    if _has_values(figures.get("d")):
        values.append(("matting, end to end", figures["d"].finding.rows[0].value or 0.0))
    _bars(axes, values)
    axes.set_xscale("log")


def _scan(axes: Axes, figures: dict[str, Measured]) -> None:
    cost = figures["e"].finding.details["microseconds_a_file"]
    counts, micros = list(cost), list(cost.values())
    axes.plot(counts, micros, "o-", color=_BAR)
    axes.axhline(1.3 * micros[0], color=_BOUND_LINE, linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("files in the inbox")


def _latency(axes: Axes, figures: dict[str, Measured]) -> None:
    rest = sorted(drop["rest_s"] for drop in figures["f"].finding.details["drops"])
    axes.plot(range(1, len(rest) + 1), rest, "o", color=_BAR)
    axes.axhline(0.3, color=_BOUND_LINE, linewidth=1, linestyle="--")
    axes.set_ylim(bottom=min(0.0, *rest))
    axes.set_xlabel("drops, the quickest first")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
