"""Where a reason is told, and in which words: a column for each of these places.

A column takes a site, a reason and the file that is asked for, and returns what it tells of the
reason: sentence and advice, of which one is None where the place has no room for it. A new place is
a new column: its name in `COLUMNS`, and then in the rows of the table that it belongs to.

The metrics count reasons, and no number says a sentence: their column has the words that stand in
the same file for the reason that is counted, where the facts are left open.
"""

import contextlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from driver import Daemon, Site
from paragraphs import Paragraphs
from told import labels, samples

from daemon import cli
from daemon.people.questions.answers import Answer
from daemon.people.questions.scene import scene_of
from daemon.people.questions.why import why
from daemon.people.standpoint import seen_as
from daemon.people.state import read_state
from daemon.reasons import REASONS, Kind, Report
from daemon.settings import Settings, load_settings
from daemon.spool.book import Book
from daemon.spool.looking import find_spool, worker_of

# Outside the spool, as nothing but what people put there lies in it.
_METRICS = "retouchd.prom"
_WRITTEN_LATER = {"state", "page", "gallery", "metrics"}

_NOTE = re.compile(r"(?P<name>.*?): (?P<says>.*)\n\nWhat to do: (?P<advice>.*)\n")


class Told(NamedTuple):
    """What a place says, and what it advises."""

    says: str
    advice: str | None


class Row(NamedTuple):
    """A reason that was provoked: the file that was dropped, and where the reason must be told."""

    reason: str
    asked: str
    columns: tuple[str, ...]


Column = Callable[[Site, list[dict[str, Any]], Row], set[Told]]


def log(_: Site, events: list[dict[str, Any]], row: Row) -> set[Told]:
    """The daemon's log, whatever the event is called."""
    return {
        Told(line["says"], line.get("advice"))
        for line in list(events)
        if line.get("reason") == row.reason and "says" in line and _is_of(line, row)
    }


def _is_of(line: dict[str, Any], row: Row) -> bool:
    named = line.get("picture") or line.get("path")
    return named is None or f"/{named}".endswith(f"/{row.asked}")  # a path may be told in full


def note(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """The `.reason.txt` beside what lies in failed/."""
    found = set()
    for path in site.failed.rglob("*.reason.txt"):
        text = path.read_text("utf-8")
        said = _NOTE.match(text)
        assert said, text
        is_it = f"\n(reason: {row.reason}, " in text or (
            row.reason == "stray" and path.is_relative_to(site.failed / "stray")
        )
        if is_it and said["name"] == row.asked.rpartition("/")[2]:
            found.add(Told(said["says"], said["advice"]))
    return found


def state(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """The state file, of which `retouchd status` is made."""
    snapshot = read_state(site.work)
    assert snapshot is not None
    reports = [w.report for w in snapshot.waiting if w.path == row.asked]
    reports += [report for report in (snapshot.holds, snapshot.stuck) if report]
    return {_told(report) for report in reports if report.key == row.reason}


def status(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """`retouchd status`: what waits, what holds, and what failed lately."""
    (said,) = _lines(site, "status", "--json")
    now = said["state"]
    told = [each for each in now["waiting"] if each["path"] == row.asked]
    told += [each for each in (now["holds"], now["stuck"]) if each]
    told += [each for each in said["failures"] if each["picture"] == row.asked]
    return {
        Told(e["says"], e["advice"]) for e in told if row.reason in (e.get("reason"), e.get("key"))
    }


def history(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """`retouchd history PATH`."""
    reports = [said["report"] for said in _lines(site, "history", row.asked, "--json")]
    return {Told(e["says"], e["advice"]) for e in reports if e and e["key"] == row.reason}


def _lines(site: Site, *command: str) -> list[dict[str, Any]]:
    """What a command says as JSON, an object a line."""
    options = [_option(name, value) for name, value in _given(site).items()]
    if file := site.environment.get("RETOUCHD_SETTINGS"):
        options.append(f"--settings={file}")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        cli.main([*command, "--spool", str(site.root), *options])
    return [json.loads(line) for line in said.getvalue().splitlines()]


def _option(name: str, value: str) -> str:
    flag = name.replace("_", "-")
    if Settings.options()[name].annotation is bool:
        return f"--{flag}" if value in ("true", "yes") else f"--no-{flag}"
    return f"--{flag}={value}"


def book(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """The book, of which `retouchd history` is made."""
    return {
        _told(ended.report, ended.attempts)
        for ended in Book(site.work).about(row.asked)
        if ended.report and ended.report.key == row.reason
    }


def _told(report: Report, attempts: int = 0) -> Told:
    trouble = report.trouble(**({"attempts": attempts} if attempts else {}))
    return Told(trouble.sentence, trouble.advice)


def why_says(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """`retouchd why`."""
    is_stray = row.reason == "stray"  # whose note names no reason
    # Of the inbox's path something else is told: what lies there now.
    folder = site.failed if row.reason in ("stray", "superseded") else site.inbox
    answer = answer_of(site, str(folder / row.asked))
    return {
        Told(step.says, step.does)
        for step in answer.steps
        if step.reason == row.reason or (is_stray and step.mark == "no")
    }


def answer_of(site: Site, path: str) -> Answer:
    """What `retouchd why` answers, with the settings of the site's daemon."""
    file = site.environment.get("RETOUCHD_SETTINGS")
    given = {"spool": str(site.root), **_given(site)}
    settings = load_settings(given, Path(file) if file else None)
    uid = worker_of(settings)
    scene = scene_of(settings, find_spool(settings), os.geteuid() if uid is None else uid)
    with seen_as(scene.user):
        return why(scene, path)


def _given(site: Site) -> dict[str, str]:
    """The settings that the site's daemon gets by its environment."""
    variables = site.variables().items()
    return {
        name.removeprefix("RETOUCHD_").lower(): value
        for name, value in variables
        if name.startswith("RETOUCHD_") and name != "RETOUCHD_SETTINGS"
    }


def gallery(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """The cards of what was given up, on the newest page and on the numbered ones."""
    *folders, name = row.asked.split("/")
    heading = [f"in {'/'.join(folders)}", name] if folders else [name]
    first, *others = (
        {
            said
            for lines in Paragraphs(path.read_text("utf-8")).lists[""]
            if lines[: len(heading)] == heading and (said := _said_on_page(lines))
        }
        for path in (site.outbox / "index.html", *(site.outbox / "gallery").glob("*.html"))
    )
    return first if first == set().union(*others) else set()


def page(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """The page that says what is going on: its lists, and first what holds all up."""
    read = Paragraphs((site.outbox / "status.html").read_text("utf-8"))
    kind = REASONS[row.reason].kind
    heading = "Waiting for something" if kind in (Kind.WAIT, Kind.WORLD) else "Could not be done"
    heading = "Just arrived" if row.reason == "not_quiet" else heading
    # What is told of several files at once begins with all their names.
    told = [lines for lines in read.lists[heading] if row.asked in lines[: _place_of_words(lines)]]
    told += read.boxes if kind is Kind.WORLD else []
    return {said for lines in told if (said := _said_on_page(lines))}


def _said_on_page(lines: list[str]) -> Told | None:
    """What an entry says and advises; None where nothing is wrong with it."""
    at = _place_of_words(lines)
    if at is None:
        return None
    says, advice = lines[at : at + 2]
    return Told(says.removeprefix("Could not be done: "), advice.removeprefix("What to do: "))


def _place_of_words(lines: list[str]) -> int | None:
    """The line of an entry that says what is wrong: the one before the advice."""
    return next(
        (at - 1 for at, line in enumerate(lines) if at and line.startswith("What to do: ")), None
    )


def metrics(site: Site, _: list[dict[str, Any]], row: Row) -> set[Told]:
    """The metrics file: that the reason is counted, and the words that it has for it."""
    counted, words = False, set()
    for name, value in samples(_metrics_file(site).read_text("utf-8")).items():
        told = labels(name)
        if told.get("reason") != row.reason:
            continue
        if name.startswith("retouchd_reason_info"):
            words.add(Told(told["says"], told["advice"]))
        else:
            counted |= value > 0
    return words if counted else set()


def _metrics_file(site: Site) -> Path:
    return site.root.parent / _METRICS


def told_everywhere(site: Site) -> Site:
    """Have a site's daemon tell in all places; some are not there unless they are asked for."""
    site.environment |= {
        "RETOUCHD_PAGES": "true",
        "RETOUCHD_METRICS_FILE": str(_metrics_file(site)),
    }
    return site


COLUMNS: Mapping[str, Column] = {
    "log": log,
    "note": note,
    "state": state,
    "status": status,
    "book": book,
    "history": history,
    "why": why_says,
    "gallery": gallery,
    "page": page,
    "metrics": metrics,
}


def check(site: Site, daemon: Daemon | list[dict[str, Any]], row: Row) -> Told:
    """Fails unless all columns of a row tell of the reason, and all in the same words."""
    events = daemon.events if isinstance(daemon, Daemon) else daemon
    told = {name: COLUMNS[name](site, events, row) for name in row.columns}
    assert all(told.values()), f"{row.reason} is not told everywhere: {told}"
    with_gaps = told.pop("metrics", set())
    says = {each.says for found in told.values() for each in found}
    advice = {each.advice for found in told.values() for each in found if each.advice}
    assert len(says) == 1, told
    assert len(advice) == 1, told
    for each in with_gaps:
        assert _fits(each.says, *says), (each, says)
        assert _fits(each.advice or "", *advice), (each, advice)
    return Told(*says, *advice)


def _fits(words: str, text: str) -> bool:
    """Whether a text is these words, with what stands in braces filled in."""
    return re.fullmatch(re.sub(r"\\\{.+?\\\}", ".+", re.escape(words)), text) is not None


def wait_until_told(daemon: Daemon, row: Row) -> None:
    """Let the daemon tell of it: files are written a moment after the look, pages after seconds."""
    deadline = time.monotonic() + 20
    written = tuple(name for name in row.columns if name in _WRITTEN_LATER)
    while True:
        try:
            check(daemon.site, daemon, row._replace(columns=written))
        except (AssertionError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
