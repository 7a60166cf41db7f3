"""How answers are shown: marks and colours on a terminal, plain lines elsewhere, JSON if asked."""

import json
import sys
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.text import Text

from daemon.people.questions.answers import Answer, Mark, Step

_MARKS: Final[Mapping[Mark, tuple[str, str, str]]] = {
    "yes": ("✓", "+", "green"),
    "no": ("✗", "x", "bold red"),
    "note": ("·", "-", "dim"),
}
_SUBJECT_WIDTH: Final = 11


def console_of() -> Console:
    """Standard output, for plain text: a file may be called [red] or :cat:."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_answer(answer: Answer) -> None:
    """Print an answer for a person on standard output."""
    console = console_of()
    console.print(Text(answer.meant, style="bold"))
    for step in answer.steps:
        console.print(_line(step, plain=not _speaks_unicode()))
        if step.does:
            console.print(Text(f"{'':<{4 + _SUBJECT_WIDTH}}What to do: {step.does}"))
    if answer.in_the_way is None:
        console.print(Text("  Nothing to do."))


def print_as_json(answer: Answer) -> None:
    """Print an answer for a program: one JSON object in a line."""
    step = answer.in_the_way
    told = {
        "asked": answer.asked,
        "path": answer.meant,
        "ok": not answer.needs_somebody,
        "reason": step.reason if step else None,
        "says": step.says if step else None,
        "advice": step.does if step else None,
        "steps": [
            {
                "mark": each.mark,
                "subject": each.subject,
                "says": each.says,
                "advice": each.does or None,
                "reason": each.reason,
            }
            for each in answer.steps
        ],
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _line(step: Step, *, plain: bool) -> Text:
    sign, letter, style = _MARKS[step.mark]
    line = Text("  ")
    line.append(letter if plain else sign, style=style)
    line.append(f" {step.subject:<{_SUBJECT_WIDTH}}", style="dim")
    line.append(step.says)
    return line


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
