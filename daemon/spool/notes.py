"""The notes beside what lies in `failed/`, read back: of which files, and what they say.

Anyone in the group may write there: what is read is told, or looked for, and trusted with no more.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from daemon.places import Place
from daemon.reasons import one_line
from daemon.spool import files
from daemon.spool.numbers import note_name

NOTE_SUFFIX: Final = ".reason.txt"
# A story has a line for each try, and no note is as long as that.
_MOST_BYTES: Final = 1 << 18
_WHAT_TO_DO: Final = "What to do: "
_LAST_LINE: Final = re.compile(r"\(reason: (\w+), job: ([\w-]+)\)")


@dataclass(frozen=True)
class Note:
    """What a note says. `files` are paths below `failed`, made safe for a line by `one_line`.

    `title` is the first line, which begins with the picture's own name. `reason` and `job` are None
    where the note does not name them.
    """

    place: Place
    title: str
    advice: str
    files: tuple[str, ...]
    story: tuple[str, ...]
    reason: str | None
    job: str | None

    def says_of(self, name: str) -> str | None:
        """The sentence, where the note is on a picture of that name; None where it is not."""
        head = f"{one_line(name)}: "
        return self.title.removeprefix(head) if self.title.startswith(head) else None

    @property
    def sentence(self) -> str:
        """What happened, without the name of the file, which may hold a colon itself."""
        first = self.title.find(": ")
        return self.title[first + 2 :] if first >= 0 else self.title


def read_note(place: Place) -> Note | None:
    """Read a note. None where none lies there, or none that can be read; no link is followed."""
    try:
        with files.reading(place) as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    lines = [one_line(line) for line in text.split("\n")]
    advice = next((line for line in lines if line.startswith(_WHAT_TO_DO)), "")
    last = next(filter(None, map(_LAST_LINE.fullmatch, reversed(lines))), None)
    return Note(
        place,
        lines[0],
        advice.removeprefix(_WHAT_TO_DO),
        _listed_below(lines, "The files, put into failed"),
        _listed_below(lines, "What happened:"),
        last and last[1],
        last and last[2],
    )


def notes_in(folder: Place) -> Iterator[Note]:
    """The notes in a folder of `failed`, by their names. What can't be listed has none."""
    try:
        names = sorted(name for name, _ in folder.listing() if name.endswith(NOTE_SUFFIX))
    except OSError:
        return
    for name in names:
        note = read_note(folder / name)
        if note is not None:
            yield note


def note_of(place: Place) -> Note | None:
    """The note on a file that lies in `failed`: its own, or one in its folder that names it."""
    note = read_note(place.beside(note_name(place.name)))
    if note is not None:
        return note
    told = one_line(place.path)
    return next((note for note in notes_in(place.parent) if told in note.files), None)


def _listed_below(lines: list[str], heading: str) -> tuple[str, ...]:
    """The indented lines below the one that begins so."""
    at = next((n for n, line in enumerate(lines) if line.startswith(heading)), len(lines))
    found = []
    for line in lines[at + 1 :]:
        if not line.startswith("  "):
            break
        found.append(line[2:])
    return tuple(found)
