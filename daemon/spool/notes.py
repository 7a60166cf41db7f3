"""The note beside a pair that was given up: written for people, read where the book is lost."""

import re
from dataclasses import dataclass
from itertools import takewhile
from string import Formatter
from typing import Final

from daemon.places import Place
from daemon.reasons import REASONS, Reason, Report, one_line
from daemon.spool.record import Record

_LAST: Final = re.compile(
    r"\(reason: (?P<key>[a-z_0-9]+), job: (?P<job>\d{8}T\d{6}-[0-9a-f]{8})\)", re.ASCII
)
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
    parts = list(Formatter().parse(reason.says))
    fields = [field for _, field, _, _ in parts if field is not None]
    begin, *words = (literal for literal, _, _, _ in parts)
    words = words if len(words) == len(fields) else [*words, ""]
    # What is told as people say it is short, and holds none of the words around it.
    spoken = sum(1 for _ in takewhile(lambda part: bool(part[2]), parts))
    name, found, rest = line.partition(f": {begin}")
    values = _before_each(words, rest, min(spoken, len(words) - 1))
    if not found or values is None or not _agree(fields, values):  # the words of another version
        return line.partition(": ")[0], {}
    return name, dict(zip(fields, values, strict=True))


def _before_each(words: list[str], text: str, from_begin: int) -> list[str] | None:
    """What stands before each of the words, the last of which must end the text; None where they
    are not in it, in this order.

    Each is looked for once, the first so many from the beginning on, the others from the end: a
    note may be forged, and must cost no more than its length asks for.
    """
    if not words:
        return None if text else []
    first = []
    for word in words[:from_begin]:
        value, found, text = text.partition(word)
        first.append(value)
        if not found:
            return None
    if not text.endswith(words[-1]):
        return None
    values = [text[: len(text) - len(words[-1])]]
    for word in reversed(words[len(first) : -1]):
        at = values[0].rfind(word)
        if at < 0:
            return None
        values[:1] = [values[0][:at], values[0][at + len(word) :]]
    return first + values


def _agree(fields: list[str], values: list[str]) -> bool:
    """Whether a fact that the words tell twice is the same both times."""
    facts = dict(zip(fields, values, strict=True))
    return all(facts[field] == value for field, value in zip(fields, values, strict=True))
