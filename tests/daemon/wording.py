"""Where a reason is told, and in which words: a column for each of these places.

A column takes a site, a reason and the file that is asked for, and returns what it tells of the
reason: sentence and advice, of which one is None where the place has no room for it. A new place is
a new column: its name in `COLUMNS`, and then in the rows of the table that it belongs to.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from driver import Daemon, Site

from daemon.people.scene import scene_of
from daemon.people.standpoint import seen_as
from daemon.people.state import read_state
from daemon.people.why import why
from daemon.reasons import Report
from daemon.settings import load_settings
from daemon.spool.book import Book
from daemon.spool.looking import find_spool, worker_of

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
    return named is None or named == row.asked


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
    settings = load_settings({"spool": str(site.root), **_given(site)})
    uid = worker_of(settings)
    assert uid is not None
    path = str(site.failed / row.asked) if row.reason == "stray" else str(site.inbox / row.asked)
    scene = scene_of(settings, find_spool(settings), uid)
    with seen_as(scene.user):
        answer = why(scene, path)
    return {
        Told(step.says, step.does)
        for step in answer.steps
        if step.reason == row.reason or (row.reason == "stray" and step.mark == "no")
    }


def _given(site: Site) -> dict[str, str]:
    """The settings that the site's daemon gets by its environment."""
    variables = site.variables().items()
    return {
        name.removeprefix("RETOUCHD_").lower(): value
        for name, value in variables
        if name.startswith("RETOUCHD_")
    }


COLUMNS: Mapping[str, Column] = {
    "log": log,
    "note": note,
    "state": state,
    "book": book,
    "why": why_says,
}


def check(site: Site, daemon: Daemon | list[dict[str, Any]], row: Row) -> Told:
    """Fails unless all columns of a row tell of the reason, and all in the same words."""
    events = daemon.events if isinstance(daemon, Daemon) else daemon
    told = {name: COLUMNS[name](site, events, row) for name in row.columns}
    assert all(told.values()), f"{row.reason} is not told everywhere: {told}"
    says = {each.says for found in told.values() for each in found}
    advice = {each.advice for found in told.values() for each in found if each.advice}
    assert len(says) == 1, told
    assert len(advice) == 1, told
    return next(iter(told[row.columns[-1]]))


def wait_for_state(daemon: Daemon, row: Row) -> None:
    """Let the daemon tell of it: the state file is written a moment after the look."""
    deadline = time.monotonic() + 20
    while True:
        try:
            check(daemon.site, daemon, row._replace(columns=("state",)))
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
