"""`retouchd history --rebuild`: the book of jobs that it lacks, from what lies in the folders.

The logs beside the results tell nearly all of the jobs that were done, and the notes in `failed`
some of those that were given up. What neither tells is left empty.
"""

import calendar
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from daemon.intake.names import kind_of
from daemon.intake.pairing import Role
from daemon.people.reach import reached_work
from daemon.places import Place
from daemon.settings import Settings
from daemon.spool import files
from daemon.spool.book import Book, Ended
from daemon.spool.notes import Note, read_note
from daemon.supervisor.joblog import read_log

# The suffixes of what is published beside a log; a number would be another job's.
_OUTPUT: Final = re.compile(r"(\.[a-z]{1,7}){1,2}", re.ASCII)
# A log or a note is a page of text.
_LONGEST_BYTES: Final = 1 << 20
# Deeper than any folder that a scan goes into.
_DEEPEST: Final = 110


def rebuild_book(settings: Settings) -> int:
    """Enter in the book what the folders tell of jobs that it lacks; returns how many these were.

    Raises `OSError`.
    """
    folders = settings.folders()
    found = [*_done(folders["outbox"]), *_failed(folders["failed"])]
    return Book(folders["work"]).rebuild(found)


def say_rebuilt(settings: Settings) -> str:
    """Do so; returns what is said of it. Raises `OutOfReachError`, or `OSError`."""
    reached_work(settings)
    found = rebuild_book(settings)
    if not found:
        return "the folders tell of no job that the book lacks."
    if found == 1:
        return "1 job that the book lacked was entered from the folders."
    return f"{found} jobs that the book lacked were entered from the folders."


def _done(outbox: Path) -> Iterator[Ended]:
    for folder, names in _folders(Place(outbox)):
        for name in names:
            ended = read_log_at(folder, name, names) if name.endswith(".log") else None
            if ended is not None:
                yield ended


def read_log_at(folder: Place, log: str, names: Iterable[str]) -> Ended | None:
    """The job that a log in a folder of the outbox tells of; None where it is none of ours.

    `names` are all in the folder: what was published with the log lies beside it.
    """
    base = log.removesuffix(".log")
    beside = [
        other
        for other in names
        if other.startswith(base) and _OUTPUT.fullmatch(other.removeprefix(base))
    ]
    # The log comes first, as in a line of the book.
    beside.sort(key=lambda other: (other != log, other))
    return read_log(_text(folder / log), [(folder / other).path for other in beside])


def _failed(failed: Path) -> Iterator[Ended]:
    for folder, names in _folders(Place(failed)):
        for name in names:
            note = read_note(_text(folder / name)) if name.endswith(".reason.txt") else None
            about = (folder / name).about()
            if note is not None and about is not None:
                yield _given_up(note, folder / name, about.st_mtime)


def _given_up(note: Note, place: Place, ended_at: float) -> Ended:
    folder = place.path.rpartition("/")[0]
    companion = next((path for path in note.places[1:] if not _is_marker(path)), "")
    # A picture that was alone failed by its folder's mask, or by whatever the note doesn't tell.
    companion = companion or str(note.report.facts.get("mask", ""))
    role: Role = "trimap" if "trimap" in companion.lower() else "mask"
    return Ended(
        job=note.job,
        outcome="failed",
        ended_at=ended_at,
        claimed_at=_claimed_at(note.job, ended_at),
        task="matting" if role == "trimap" else "inpaint",
        role=role,
        picture=f"{folder}/{note.name}" if folder else note.name,
        companion=companion,
        attempts=0,
        report=note.report,
        note=place.path,
        story=note.story,
    )


def _is_marker(path: str) -> bool:
    return kind_of(path.rpartition("/")[2], with_markers=True) == "marker"


def _claimed_at(job: str, ended_at: float) -> float:
    """A job is called by when it was claimed."""
    try:
        return float(calendar.timegm(time.strptime(job.partition("-")[0], "%Y%m%dT%H%M%S")))
    except ValueError:
        return ended_at


def _folders(folder: Place, depth: int = 0) -> Iterator[tuple[Place, list[str]]]:
    """Each folder below one, with the names in it, hidden ones left out; through no link."""
    try:
        names = [name for name, _ in folder.listing() if not name.startswith(".")]
    except OSError:
        return
    yield folder, names
    for name in names:
        if depth < _DEEPEST and (folder / name).is_folder():
            yield from _folders(folder / name, depth + 1)


def _text(place: Place) -> str:
    try:
        with files.reading(place) as file:
            return file.read(_LONGEST_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
