"""How it stands in words: a headline, facts, and lists; the same for terminals and for pipes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from daemon.people.standing import Life, Standing
from daemon.reasons import Report, one_line
from daemon.spool.book import Ended
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


def outline(standing: Standing) -> Outline:
    """How it stands, in words."""
    snapshot = standing.snapshot
    facts, sections = _book_facts(standing), [_failures(standing)]
    if snapshot is not None:
        facts = _facts(standing, snapshot)
        sections = [_running(standing, snapshot), *_waiting(snapshot), *sections]
    return Outline(
        headline=f"retouchd: {_headline(standing)}",
        tone=_TONES[standing.life],
        facts=tuple((name, one_line(text)) for name, text in facts),
        sections=tuple(section for section in sections if section.lines),
    )


def clock(seconds: float) -> str:
    """A moment in the time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def span(seconds: float) -> str:
    """A time span as people say it: `4 s`, `12 min`, `3.5 h`, `2.0 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


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
    return f"running (pid {snapshot.pid}), {life.value}"


def _facts(standing: Standing, snapshot: Snapshot) -> list[tuple[str, str]]:
    tally, age = snapshot.tally, standing.age_s or 0.0
    facts = [("told", f"{span(age)} ago; running since {clock(snapshot.started_at)}")]
    if standing.paused_since is not None:
        facts.append(("paused", f"since {clock(standing.paused_since)}, until retouchd resume"))
    if snapshot.stuck:
        facts.append(("stuck", f"one job: {words(snapshot.stuck)}"))
    facts += [("device", f"{s.device} ({'; '.join(_models(s))})") for s in snapshot.devices]
    facts.append(("done", f"{tally.done} in this run{_speed(standing)}"))
    facts.append(
        ("failed", f"{tally.failed} in this run, {standing.last_hour.failed} in the last hour")
    )
    oldest = ""
    if snapshot.oldest_ready_at is not None:
        oldest = f", the oldest for {span(max(0.0, snapshot.at - snapshot.oldest_ready_at))}"
    settling = len(snapshot.settling)
    facts.append(("in work", str(tally.running)))
    facts.append(("ready", f"{tally.ready} ready or settling{oldest}"))
    facts.append(("settling", f"{settling} must stay unchanged for a while yet"))
    missing = sum(n for key, n in snapshot.waiting_for.items() if key != "not_quiet")
    facts.append(("waiting", f"{missing} for something else than their turn"))
    return facts


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


def _running(standing: Standing, snapshot: Snapshot) -> Section:
    lines = [
        (
            each.picture,
            f"{each.task}, try {each.attempt}, for {span(max(0.0, standing.at - each.since))}",
        )
        for each in snapshot.running
    ]
    return _section("in work", lines, len(lines))


def _waiting(snapshot: Snapshot) -> list[Section]:
    turns = [(name, "waits for its turn") for name in snapshot.ready]
    ready = snapshot.tally.ready - len(snapshot.settling)
    waiting = [(each.path, words(each.report)) for each in snapshot.waiting]
    return [
        _section("next", turns[:3], min(ready, 3)),
        _section("waiting", waiting, sum(snapshot.waiting_for.values())),
    ]


def _failures(standing: Standing) -> Section:
    lines = [(each.picture, f"{clock(each.ended_at)}: {_why(each)}") for each in standing.failures]
    return _section("failed lately", lines, len(lines))


def _why(ended: Ended) -> str:
    return "" if ended.report is None else words(told_report(ended))


def told_report(ended: Ended) -> Report:
    """The reason of a job that was given up, with how often it was tried."""
    report = ended.report or Report("vanished")
    return Report(report.key, {"attempts": ended.attempts, **report.facts})


def _section(title: str, lines: list[tuple[str, str]], count: int) -> Section:
    shown = [(one_line(name), one_line(text)) for name, text in lines[:MOST_SHOWN]]
    if count > len(shown):
        shown.append(("...", f"and {count - len(shown)} more"))
    return Section(title, tuple(shown))
