"""`retouchd history --rebuild`: the book of jobs that it lacks, from what lies in the folders.

The logs beside the results tell nearly all of the jobs that were done, and the notes in `failed`
some of those that were given up. What neither tells is left empty.
"""

import calendar
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from daemon.intake.names import split_suffix
from daemon.intake.pairing import Role
from daemon.people.reach import reached_work
from daemon.places import Place
from daemon.reasons import one_line
from daemon.settings import Settings
from daemon.spool import files
from daemon.spool.book import Book
from daemon.spool.entries import Ended
from daemon.spool.fallen import is_marker
from daemon.spool.notes import Note, read_note
from daemon.supervisor.joblog import read_log

# How what is published beside a log ends, `cat.preview.jpg` say; a number would be another job's.
_OUTPUT: Final = re.compile(r"(.+?)(?:\.(?:preview|alpha|trimap))?\.[a-z]{1,7}", re.DOTALL)
_NUMBER: Final = re.compile(r"\.\d+$", re.ASCII)
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
    jobs: dict[str, Ended] = {}
    for ended in sorted(found, key=_likeness, reverse=True):  # people copy folders with results
        jobs.setdefault(ended.job, ended)
    return Book(folders["work"]).rebuild(jobs.values())


def _likeness(ended: Ended) -> int:
    """How much the place of a log, in the outbox, is like that of its picture in the inbox."""
    folder, _, name = (ended.outputs[0] if ended.outputs else "").rpartition("/")
    above, _, picture = ended.picture.rpartition("/")
    base = one_line(_NUMBER.sub("", name.removesuffix(".log")))
    return 2 * (one_line(folder) == above) + (base == split_suffix(picture)[0])


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
        for log, beside in _by_log(names).items():
            ended = _read_log(folder, log, beside)
            if ended is not None:
                yield ended


def read_log_at(folder: Place, log: str, names: Sequence[str]) -> Ended | None:
    """The job that a log in a folder of the outbox tells of; None where it is none of ours.

    `names` are all in the folder: what was published with the log lies beside it.
    """
    return _read_log(folder, log, _by_log(names).get(log, []))


def _read_log(folder: Place, log: str, beside: Sequence[str]) -> Ended | None:
    # The log comes first, as in a line of the book.
    outputs = [(folder / name).path for name in (log, *beside)]
    return read_log(_text(folder / log), outputs)


def _by_log(names: Sequence[str]) -> dict[str, list[str]]:
    """The logs in a folder, each with what was published beside it."""
    found: dict[str, list[str]] = {name: [] for name in names if name.endswith(".log")}
    for name in names:
        # `cat.alpha.png` is of `cat`, or else the result of a picture called `cat.alpha`.
        output = None if name in found else _OUTPUT.fullmatch(name)
        bases = (output[1], name.rpartition(".")[0]) if output else ()
        log = next((log for log in (f"{base}.log" for base in bases) if log in found), None)
        if log is not None:
            found[log].append(name)
    return found


def _failed(failed: Path) -> Iterator[Ended]:
    for folder, names in _folders(Place(failed)):
        for name in names:
            note = read_note(_text(folder / name)) if name.endswith(".reason.txt") else None
            about = (folder / name).about()
            if note is not None and about is not None:
                yield _given_up(note, folder / name, about.st_mtime)


def _given_up(note: Note, place: Place, ended_at: float) -> Ended:
    folder = place.path.rpartition("/")[0]
    companion = next((path for path in note.places[1:] if not is_marker(path)), "")
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


def _claimed_at(job: str, ended_at: float) -> float:
    """A job is called by when it was claimed."""
    try:
        return float(calendar.timegm(time.strptime(job.partition("-")[0], "%Y%m%dT%H%M%S")))
    except ValueError:
        return ended_at


def _folders(folder: Place, depth: int = 0) -> Iterator[tuple[Place, list[str]]]:
    """Each folder below one, its names sorted, hidden ones left out; through no link."""
    try:
        listed = sorted(folder.listing(), key=lambda each: each[0])
    except OSError:
        return
    there = {name: about for name, about in listed if not name.startswith(".")}
    yield folder, list(there)
    for name, about in there.items():
        is_folder = not isinstance(about, OSError) and stat.S_ISDIR(about.st_mode)
        if depth < _DEEPEST and is_folder:
            yield from _folders(folder / name, depth + 1)


def _text(place: Place) -> str:
    try:
        with files.reading(place) as file:
            return file.read(_LONGEST_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
