"""`retouchd status`: how it stands, as a view on a terminal, as lines in a pipe, or as JSON."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from daemon.people.outline import MOST_SHOWN, Outline, Section, Tone, outline, told_report
from daemon.people.standing import Standing, look
from daemon.reasons import Report
from daemon.settings import Settings

WATCH_EVERY_S: Final = 2.0

# How long lists are, from a large terminal to a small one: those of what is wrong, and others.
_LENGTHS: Final = ((MOST_SHOWN, MOST_SHOWN), (7, 5), (5, 3), (3, 1), (2, 0), (1, 0))
_CUT_OFF: Final = "... more than fits here: make the terminal larger"

_STYLES: Final[Mapping[Tone, str]] = {"good": "green", "mind": "yellow", "bad": "red"}


def show_status(settings: Settings, *, as_json: bool = False, watch: bool = False) -> bool:
    """Say how it stands, with `watch` again and again until interrupted.

    True where it runs and nothing is in its way. Raises `OutOfReachError`, or `OSError`.
    """
    # Plain text: a file may be called [red] or :cat:.
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, emoji=False)
    if console.is_terminal and watch and not as_json:
        return _watch_view(console, settings)
    standing = look(settings)
    _say(console, standing, as_json=as_json)
    while watch:
        if not _slept():
            return standing.is_well
        standing = look(settings)
        if not as_json:
            console.print()
        _say(console, standing, as_json=as_json)
    return standing.is_well


def as_data(standing: Standing) -> dict[str, Any]:
    """How it stands, for programs. Times are seconds since 1970, names may hold surrogates."""
    snapshot = standing.snapshot
    state = asdict(snapshot) if snapshot else None
    if state is not None and snapshot is not None:
        state["holds"] = snapshot.holds and _in_words(snapshot.holds)
        state["stuck"] = snapshot.stuck and _in_words(snapshot.stuck)
        state["waiting"] = [
            {"path": each.path, **_in_words(each.report)} for each in snapshot.waiting
        ]
    return {
        "running": standing.is_running,
        "well": standing.is_well,
        "life": standing.life.value,
        "age_s": standing.age_s,
        "paused_since": standing.paused_since,
        "last_hour": asdict(standing.last_hour),
        "failures": [
            {
                "job": each.job,
                "picture": each.picture,
                "at": each.ended_at,
                "note": each.note,
                **_in_words(told_report(each)),
            }
            for each in standing.failures
        ],
        "state": state,
    }


def _in_words(report: Report) -> dict[str, str]:
    trouble = report.trouble()
    return {"reason": report.key, "says": trouble.sentence, "advice": trouble.advice}


def plain(shown: Outline) -> str:
    """What is shown in a pipe, a line each."""
    lines = [shown.headline]
    lines += [f"  {name + ':':<10} {text}" for name, text in shown.facts]
    for section in shown.sections:
        lines.append(f"{section.title}:")
        lines += [f"  {name}: {text}" for name, text in section.lines]
    return "\n".join(lines)


def view(shown: Outline) -> RenderableType:
    """What is shown on a terminal."""
    facts = Table.grid(padding=(0, 2))
    for name, text in shown.facts:
        facts.add_row(Text(name, style="bold"), Text(text))
    style = _STYLES[shown.tone]
    headline = Text(shown.headline + "\n", style=f"bold {style}")
    return Group(Panel(Group(headline, facts), border_style=style), *map(_table, shown.sections))


def _table(section: Section) -> Table:
    is_bad = section.title == "failed lately"
    table = Table(
        title=Text(section.title, style="bold red" if is_bad else "bold"),
        title_justify="left",
        show_header=False,
        box=None,
        expand=True,
    )
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=2, overflow="fold")
    for name, text in section.lines:
        table.add_row(Text(name), Text(text))
    return table


def _say(console: Console, standing: Standing, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(as_data(standing)) + "\n")
        sys.stdout.flush()
    elif console.is_terminal:
        console.print(view(outline(standing)), soft_wrap=False)
    else:
        console.print(plain(outline(standing)))
        sys.stdout.flush()


def _watch_view(console: Console, settings: Settings) -> bool:
    standing = look(settings)
    shown = fitting(console, standing)
    with Live(shown, console=console, screen=True, auto_refresh=False) as live:
        while _slept():
            standing = look(settings)
            live.update(fitting(console, standing), refresh=True)
    return standing.is_well


def fitting(console: Console, standing: Standing) -> RenderableType:
    """The view with lists as long as the terminal has room for; what is cut off is said so."""
    lines: list[list[Segment]] = []
    for most, names in _LENGTHS:
        shown = view(outline(standing, most, names))
        lines = console.render_lines(shown)
        if len(lines) <= console.height:
            return shown
    seen = [*lines[: console.height - 1], [Segment(_CUT_OFF[: console.width])]]
    return Segments(segment for line in seen for segment in (*line, Segment.line()))


def _slept(sleep: Callable[[float], None] = time.sleep) -> bool:
    """Wait for the next look; False where somebody has had enough."""
    try:
        sleep(WATCH_EVERY_S)
    except KeyboardInterrupt:
        return False
    return True
