"""The note beside a pair that was given up: written for people, read where the book is lost."""

import re
from dataclasses import dataclass
from string import Formatter
from typing import Final

from daemon.places import Place
from daemon.reasons import REASONS, Reason, Report, one_line
from daemon.spool.record import Record

_LAST: Final = re.compile(
    r"\(reason: (?P<key>[a-z_0-9]+), job: (?P<job>\d{8}T\d{6}-[0-9a-f]{8})\)", re.ASCII
)
# What fills a field that is told as people say it; any other may hold whatever there is.
_SPOKEN: Final = {"times": r"once|\S+ times|\?", "span": r"\S+ \w+|\?"}
_FILES: Final = "The files, put into failed with this note:"
_STORY: Final = "What happened:"


@dataclass(frozen=True)
class Note:
    """What a note tells: `places` are the files, `name` the picture's, all as they are printed."""

    job: str
    name: str
    report: Report
    places: tuple[str, ...]
    story: tuple[str, ...]


def reason_text(record: Record, report: Report, places: list[Place]) -> bytes:
    """The text of the note: what went wrong, what to do, and where the files lie."""
    trouble = report.trouble(attempts=record.attempts)
    name = record.picture.path.rpartition("/")[2]
    here = "".join(f"  {one_line(str(place.path))}\n" for place in places)
    story = "".join(f"  {one_line(line)}\n" for line in record.story)
    text = (
        f"{one_line(name)}: {trouble.sentence}\n\n"
        f"What to do: {trouble.advice}\n\n"
        f"{_FILES}\n{here}"
        "To have them tried again, move them back into the inbox; this note may be deleted.\n\n"
        + (f"{_STORY}\n{story}\n" if story else "")
        + f"(reason: {trouble.reason.key}, job: {record.job})\n"
    )
    return text.encode("utf-8", "backslashreplace")


def read_note(text: str) -> Note | None:
    """What a note tells; None where it is none of ours."""
    lines = text.rstrip("\n").split("\n")
    last = _LAST.fullmatch(lines[-1])
    reason = REASONS.get(last["key"]) if last else None
    if last is None or reason is None:
        return None
    name, facts = _first(lines[0], reason)
    places, story = _below(lines, _FILES), _below(lines, _STORY)
    return Note(last["job"], name, Report(reason.key, facts), places, story)


def _below(lines: list[str], heading: str) -> tuple[str, ...]:
    """The indented lines below a heading."""
    if heading not in lines:
        return ()
    found = []
    for line in lines[lines.index(heading) + 1 :]:
        if not line.startswith("  "):
            break
        found.append(line[2:])
    return tuple(found)


def _first(line: str, reason: Reason) -> tuple[str, dict[str, str | int | float]]:
    """The picture's name, and the facts that the reason's sentence was filled with."""
    pattern, named = "(.*?): ", list[str]()
    for literal, field, form, _ in Formatter().parse(reason.says):
        pattern += re.escape(literal)
        if field is not None:
            filled = _SPOKEN.get(form or "", ".*")
            pattern += f"(?P={field})" if field in named else f"(?P<{field}>{filled})"
            named.append(field)
    found = re.fullmatch(pattern, line)
    if found is None:  # the words of another version
        return line.partition(": ")[0], {}
    return found[1], {name: found[name] for name in named}
