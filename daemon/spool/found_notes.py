"""The notes as they lie in `failed/`: which files one speaks of, and what it says.

Anyone in the group may write there: what is read is told, or looked for, and trusted with no more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.places import Place
from daemon.reasons import one_line
from daemon.spool import files
from daemon.spool.notes import read_note
from daemon.spool.numbers import note_name

NOTE_SUFFIX: Final = ".reason.txt"
# A story has a line for each try, and no note is as long as that.
_MOST_BYTES: Final = 1 << 18
_WHAT_TO_DO: Final = "What to do: "


@dataclass(frozen=True)
class FoundNote:
    """What a note says. `name` is the picture's own, and `files` are paths below `failed`, all made
    safe for a line by `one_line`. `reason` and `job` are None where the note does not name them.
    """

    place: Place
    name: str
    sentence: str
    advice: str
    files: tuple[str, ...] = ()
    story: tuple[str, ...] = ()
    reason: str | None = None
    job: str | None = None

    def is_on(self, name: str) -> bool:
        """Whether it is on a picture that was called so."""
        return one_line(name) == self.name


def find_note(place: Place) -> FoundNote | None:
    """Read a note. None where none lies there, or none that can be read; no link is followed."""
    try:
        with files.reading(place) as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    lines = [one_line(line) for line in text.split("\n")]
    found = (line for line in lines if line.startswith(_WHAT_TO_DO))
    advice = next(found, "").removeprefix(_WHAT_TO_DO)
    read = read_note("\n".join(lines))
    if read is None:
        name, _, sentence = lines[0].partition(": ")
        return FoundNote(place, name, sentence, advice)
    sentence = lines[0].removeprefix(f"{read.name}: ")
    key, job = read.report.key, read.job
    return FoundNote(place, read.name, sentence, advice, read.places, read.story, key, job)


def notes_in(folder: Place) -> Iterator[FoundNote]:
    """The notes in a folder of `failed`, by their names. What can't be listed has none."""
    try:
        names = sorted(name for name, _ in folder.listing() if name.endswith(NOTE_SUFFIX))
    except OSError:
        return
    for name in names:
        note = find_note(folder / name)
        if note is not None:
            yield note


def lies_below(failed: Path, line: str) -> bool:
    """Whether a file that a note names, in words safe for a line, is there."""
    if line.startswith("/") or ".." in line.split("/"):
        return False
    place = Place(failed, line)
    if "\\" not in line:  # no escape in it: that is its name
        return place.is_there()
    try:
        names = [name for name, _ in place.parent.listing()]
    except OSError:
        return False
    return any(one_line(name) == place.name for name in names)


def note_of(place: Place) -> FoundNote | None:
    """The note on a file that lies in `failed`: its own, or one in its folder that names it."""
    note = find_note(place.beside(note_name(place.name)))
    if note is not None:
        return note
    told = one_line(place.path)
    return next((note for note in notes_in(place.parent) if told in note.files), None)
