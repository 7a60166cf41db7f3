"""`retouchd history`: what happened to a picture, when, and with which model."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from daemon.people.naming import from_here
from daemon.people.outline import clock, told_report, words
from daemon.people.reach import reached_work
from daemon.reasons import one_line
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.spool.entries import Ended

MOST_LISTED: Final = 20

_EMPTY: Final = (
    "the book is empty. It tells of jobs that have ended; retouchd history --rebuild enters those "
    "that the folders tell of."
)

# `cat.2.png` and `cat.2_mask.png` may be what `cat.png` and `cat_mask.png` became.
_NUMBER: Final = re.compile(r"\.\d+(?=[._-])")


class Sought:
    """Which pictures are meant by a path, as people write one.

    One with a folder is a path in the inbox, or below one of the spool's folders, by whatever name
    the picture has there; one without is a name in any folder.
    """

    def __init__(self, settings: Settings, path: str) -> None:
        self._has_folder = "/" in path.removeprefix("./")
        names = set(_below(settings, path))
        self.names = {one_line(each) for name in names for each in (name, _NUMBER.sub("", name))}

    def holding(self) -> str:
        """A text that each line of the book about it holds; empty where none is sure to be."""
        stems = {re.split(r"[.\\]", name.rpartition("/")[2])[0] for name in self.names}
        stem = min(stems, key=len)
        return stem if all(each.startswith(stem) for each in stems) else ""

    def is_about(self, ended: Ended) -> bool:
        """Whether a job is about such a picture, or about its companion."""
        paths = [ended.picture, ended.companion, *ended.outputs, ended.note or ""]
        if not self._has_folder:
            paths = [path.rpartition("/")[2] for path in paths]
        return any(one_line(path) in self.names for path in paths)


def show_history(
    settings: Settings,
    path: str | None = None,
    *,
    failures: bool = False,
    limit: int | None = None,
    as_json: bool = False,
) -> bool:
    """Say what the book tells, the newest first. False where it tells nothing of that path; where
    it tells nothing at all, standard error says why.

    Raises `OutOfReachError`, or `OSError`.
    """
    book = Book(reached_work(settings))
    sought = None if path is None else Sought(settings, path)
    found: Iterator[Ended] = book.newest("" if sought is None else sought.holding())
    if sought is not None:
        found = filter(sought.is_about, found)
    if failures:
        found = (ended for ended in found if ended.outcome == "failed")
    most = limit or (MOST_LISTED if sought is None else None)
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, emoji=False)
    count = 0
    for ended in islice(found, most):
        count += 1
        if as_json:
            sys.stdout.write(json.dumps(as_data(ended)) + "\n")
        else:
            console.print(_colour(ended, _line(ended)))
            for line in _details(ended) if sought is not None else ():
                console.print(f"    {line}")
    sys.stdout.flush()
    if book.passed_over:
        sys.stderr.write(f"retouchd: {book.passed_over} lines of the book are none; passed over\n")
    if not count:
        sys.stderr.write(f"retouchd: {_why_nothing(book, path, failures=failures)}\n")
    return count > 0 or sought is None


def _why_nothing(book: Book, path: str | None, *, failures: bool) -> str:
    if next(book.newest(), None) is None:
        return _EMPTY
    what = "no failure" if failures else "nothing"
    return f"the book tells {what} of {one_line(path)}." if path else f"the book tells {what}."


def as_data(ended: Ended) -> dict[str, Any]:
    """A job for programs: its line in the book, and the words of its reason."""
    data = asdict(ended)
    if ended.report is not None:
        trouble = told_report(ended).trouble()
        data["report"] |= {"says": trouble.sentence, "advice": trouble.advice}
    return data


def _line(ended: Ended) -> str:
    if ended.outcome == "failed":
        what = f"{ended.picture}: {words(told_report(ended))}"
    else:
        model = f" ({ended.facts.model}, {ended.facts.device})" if ended.facts else ""
        what = f"{ended.picture} -> {ended.result or '?'}{model}"
    return one_line(f"{clock(ended.ended_at)}  {ended.outcome:<6}  {what}")


def _colour(ended: Ended, line: str) -> Text:
    return Text(line, style="red" if ended.outcome == "failed" else "")


def _told_by(ended: Ended) -> str:
    return "its own transparency" if ended.companion == ended.picture else ended.companion or "?"


def _details(ended: Ended) -> list[str]:
    facts = [
        ("job", ended.job),
        ("claimed", clock(ended.claimed_at)),
        (ended.role, _told_by(ended)),
        ("task", ended.task),
        ("tries", str(ended.attempts) if ended.attempts else "?"),
        *(("in the outbox", output) for output in ended.outputs),
    ]
    if ended.note:
        facts.append(("in failed", ended.note))
    if ended.facts:
        steps = (f"{step} {seconds:.3f}" for step, seconds in ended.facts.seconds.items())
        facts += [
            ("size", f"{ended.facts.width} x {ended.facts.height}"),
            ("model", f"{ended.facts.model}, sha256 {ended.facts.model_sha256}"),
            ("device", ended.facts.device),
            ("seconds", ", ".join(steps)),
            *(("note", note) for note in ended.facts.notes),
        ]
    facts += [("earlier", line) for line in ended.story]
    return [one_line(f"{name + ':':<14} {value}") for name, value in facts]


def _below(settings: Settings, path: str) -> Iterator[str]:
    """What a path may be called in the inbox, the outbox or `failed`."""
    yield path.removeprefix("./")
    here = from_here(path)
    for name, root in settings.folders().items():
        if here.startswith(f"{root}/"):
            yield here.removeprefix(f"{root}/")
        if path.startswith(f"{name}/"):
            yield path.removeprefix(f"{name}/")
