"""How it stands in words: a headline, facts, and lists; the same for terminals and for pipes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from daemon.intake.pairing import Waiting
from daemon.people.circles import in_circles
from daemon.people.standing import Life, Standing, advice_for_book
from daemon.reasons import Report, one_line
from daemon.spans import span
from daemon.spool.entries import Ended
from daemon.supervisor.snapshot import Served, Snapshot

# Of each list so many lines are shown.
MOST_SHOWN: Final = 10

Tone = Literal["good", "mind", "bad"]

_TONES: Final[dict[Life, Tone]] = {
    Life.STOPPED: "bad",
    Life.SILENT: "bad",
    Life.HOLDING: "bad",
    Life.STARTING: "mind",
    Life.PAUSED: "mind",
    Life.WORKING: "good",
    Life.IDLE: "good",
}


@dataclass(frozen=True)
class Section:
    """A list: its title, and for each of its lines a name and what is said of it."""

    title: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Outline:
    """What is shown. No text in it holds a character that can't be printed."""

    headline: str
    tone: Tone
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def outline(standing: Standing, most: int = MOST_SHOWN, names: int = MOST_SHOWN) -> Outline:
    """How it stands, in words: of each list so many lines, and how many more there are.

    `most` is for lists that say what is wrong, and `names` for those of what goes well, which the
    facts count; without any line these are left out.
    """
    snapshot = standing.snapshot
    facts, lists = _book_facts(standing), [_failures(standing)]
    if snapshot is not None:
        facts = _facts(standing, snapshot)
        lists = [_running(standing, snapshot), *_in_inbox(snapshot), *lists]
    if standing.unread is not None:
        says = "can't be read, so the last hour and failures may lack some"
        trouble = standing.unread
        facts.append(("book", f"{says}: {trouble.sentence} {advice_for_book(trouble)}"))
    return Outline(
        headline=f"retouchd: {_headline(standing)}",
        tone=_tone(standing),
        facts=tuple((name, one_line(text)) for name, text in facts),
        sections=tuple(
            _section(each, allowed)
            for each in lists
            if each.items and (allowed := most if each.says_what_is_wrong else names)
        ),
    )


def _tone(standing: Standing) -> Tone:
    tone = _TONES[standing.life]
    return "mind" if tone == "good" and standing.unread is not None else tone


def clock(seconds: float) -> str:
    """A moment in the time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def words(report: Report) -> str:
    """What a report says and what to do about it."""
    trouble = report.trouble()
    return f"{trouble.sentence} {trouble.advice}"


def _headline(standing: Standing) -> str:
    snapshot, life = standing.snapshot, standing.life
    if snapshot is None:
        return "running, and has told nothing yet" if standing.is_running else "not running"
    match life:
        case Life.STOPPED:
            return f"not running; it last told of itself at {clock(snapshot.at)}"
        case Life.SILENT:
            silent = span(standing.age_s or 0)
            return f"runs (pid {snapshot.pid}), but has told nothing for {silent}; look at its log"
        case Life.HOLDING if snapshot.holds and snapshot.holds_since is not None:
            since = clock(snapshot.holds_since)
            return f"holding since {since}: {words(snapshot.holds)}"
    is_loading = ": the models are being loaded" if life is Life.STARTING else ""
    return f"running (pid {snapshot.pid}), {life.value}{is_loading}{_for_people(snapshot)}"


def _for_people(snapshot: Snapshot) -> str:
    """What a daemon that is well can't do without its people."""
    match snapshot.lacking_count:
        case 0:
            return ""
        case 1:
            return "; 1 file waits for its people"
        case number:
            return f"; {number} files wait for their people"


def _facts(standing: Standing, snapshot: Snapshot) -> list[tuple[str, str]]:
    tally, age = snapshot.tally, standing.age_s or 0.0
    started, run = clock(snapshot.started_at), "in this run"
    facts = [("told", f"{span(age)} ago; running since {started}")]
    if not standing.is_running:
        facts, run = [("told", f"{span(age)} ago, of a run that began at {started}")], "in that run"
    if standing.paused_since is not None:
        facts.append(("paused", f"since {clock(standing.paused_since)}, until retouchd resume"))
    if snapshot.stuck:
        facts.append(("stuck", f"one job: {words(snapshot.stuck)}"))
    facts += [("device", f"{s.device} ({'; '.join(_models(s))})") for s in snapshot.devices]
    facts.append(("done", f"{tally.done} {run}{_speed(standing)}"))
    facts.append(("failed", f"{tally.failed} {run}, {standing.last_hour.failed} in the last hour"))
    facts.append(("in work", f"{tally.running}{_when(standing)}"))
    facts.append(("ready", f"{tally.ready} ready or settling{_oldest(standing, snapshot)}"))
    facts.append(("settling", f"{snapshot.settling_count} must stay unchanged for a while yet"))
    facts.append(("waiting", f"{snapshot.lacking_count} for something else than their turn"))
    return facts


def _when(standing: Standing) -> str:
    return "" if standing.is_running else " when it ended"


def _oldest(standing: Standing, snapshot: Snapshot) -> str:
    if snapshot.oldest_ready_at is None:
        return ""
    oldest = span(max(0.0, snapshot.at - snapshot.oldest_ready_at))
    return f"{_when(standing)}, the oldest for {oldest}"


def _models(served: Served) -> Iterator[str]:
    for task, model in served.models.items():
        yield f"{task}: {model}"
    for each in served.folders:
        yield f"{each.task} in {each.folder}: {each.model or 'can not be used, its pictures wait'}"


def _book_facts(standing: Standing) -> list[tuple[str, str]]:
    hour = standing.last_hour
    return [("last hour", f"{hour.done} done, {hour.failed} failed")]


def _speed(standing: Standing) -> str:
    hour = standing.last_hour
    each = "" if hour.median_s is None else f", {hour.median_s:.2f} s each (median)"
    return f", {hour.done} in the last hour{each}"


@dataclass(frozen=True)
class _List:
    """Before it is cut: `items` are name, text, and how many files they stand for; `count` is how
    many there are of these, where not all are told."""

    title: str
    items: list[tuple[str, str, int]]
    count: int = 0
    says_what_is_wrong: bool = False


def _running(standing: Standing, snapshot: Snapshot) -> _List:
    def how(since: float) -> str:
        if standing.is_running:
            return f"for {span(max(0.0, standing.at - since))}"
        return "is taken up again at the next start"

    lines = [
        (each.picture, f"{each.task}, try {each.attempt}, {how(each.since)}", 1)
        for each in snapshot.running
    ]
    return _List("in work" if standing.is_running else "in work when it ended", lines)


def _in_inbox(snapshot: Snapshot) -> list[_List]:
    turns = [(name, "waits for its turn", 1) for name in snapshot.ready]
    ready = snapshot.tally.ready - snapshot.settling_count
    return [
        _List("next", turns, ready),
        _List("settling", _told(snapshot.unquiet), snapshot.waiting_for.get("not_quiet", 0)),
        _List("waiting", _told(snapshot.lacking), snapshot.lacking_count, says_what_is_wrong=True),
    ]


def _told(waiting: Iterable[Waiting]) -> list[tuple[str, str, int]]:
    """A line for each circle."""
    return [
        (f"{first.path}{_and_more(len(others), ', ')}", words(first.report), 1 + len(others))
        for first, *others in in_circles(waiting)
    ]


def _failures(standing: Standing) -> _List:
    lines = [
        (each.picture, f"{clock(each.ended_at)}: {_why(each)}", 1) for each in standing.failures
    ]
    return _List("failed lately", lines, says_what_is_wrong=True)


def _why(ended: Ended) -> str:
    return "" if ended.report is None else words(told_report(ended))


def told_report(ended: Ended) -> Report:
    """The reason of a job that was given up, with how often it was tried."""
    report = ended.report or Report("vanished")
    return Report(report.key, {"attempts": ended.attempts, **report.facts})


def _section(told: _List, most: int) -> Section:
    shown = told.items[:most]
    count = max(told.count, sum(files for _, _, files in told.items))
    lines = [(one_line(name), one_line(text)) for name, text, _ in shown]
    if more := _and_more(count - sum(files for _, _, files in shown)):
        lines.append(("...", more))
    return Section(told.title, tuple(lines))


def _and_more(number: int, before: str = "") -> str:
    return f"{before}and {number} more" if number > 0 else ""
