"""What lies in `failed/`: which files failed together, and where in the inbox each came from.

A note names the files that it speaks of, and the picture's own name; where there is none any more,
names tell what belongs together, as in the inbox. All of it may have been written by strangers: a
path below `failed` leads to the same path below the inbox, less a number, and to nowhere else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from daemon.folders import FolderRules
from daemon.intake.alone import with_those_alone
from daemon.intake.markers import require_markers
from daemon.intake.matting import NO_FOLDERS
from daemon.intake.names import kind_of, split_suffix
from daemon.intake.pairing import pair_up
from daemon.intake.scan import Entry, Survey
from daemon.places import Place
from daemon.reasons import one_line
from daemon.spool.found_notes import NOTE_SUFFIX, FoundNote, find_note
from daemon.spool.layout import Spool
from daemon.spool.numbers import number_in, numbered, without_number
from daemon.spool.record import State, load

# Folders of ours, below which a job's name stands for the path that a file had.
_OURS: Final = re.compile(r"(?:unplaced(?:\.\d+)?|stray)/\d{8}T\d{6}-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True)
class Fallen:
    """Files that failed together: their paths below `failed`, and for each its path in the inbox.

    A picture comes after what goes with it, and a marker last. `note` is theirs, if there is one.
    `is_numbered` says that the names may have got a number in `failed`, which nobody knows of.
    """

    files: tuple[str, ...]
    homes: tuple[str, ...]
    note: FoundNote | None = None
    is_numbered: bool = False

    @property
    def picture(self) -> str:
        """The path below `failed` of the picture, or of what comes nearest to one."""
        return next((path for path in reversed(self.files) if not is_marker(path)), self.files[-1])

    @property
    def is_placed(self) -> bool:
        """Whether it is known where they came from: not of what had no place there either."""
        return not _is_ours(self.files[0].rpartition("/")[0])


def find_fallen(spool: Spool) -> list[Fallen]:
    """All that lies in `failed`, sorted by name. What a daemon is putting there just now is left
    out. Raises `OSError` where it can't be listed."""
    survey = Survey(spool.failed, with_markers=True)
    survey.whole()
    found = list(_not_placed(survey))
    folders = [folder for path, folder in survey.folders.items() if not _is_ours(path)]
    left = {
        entry.path: entry
        for folder in folders
        for held in (folder.pictures, folder.unreadable, folder.markers)
        for entry in held.values()
    }
    for path in _on_their_way(spool):
        left.pop(path, None)
    told = {one_line(path): path for path in left}
    for note in _notes(spool, survey):
        files = [told[line] for line in dict.fromkeys(note.files) if told.get(line) in left]
        if files:
            found.append(_noted(files, note))
            for path in files:
                del left[path]
    found += (_unnoted(files) for files in _together(list(left.values()), spool.rules))
    return sorted(found, key=lambda fallen: fallen.homes[-1])


def _is_ours(folder: str) -> bool:
    return _OURS.fullmatch(folder) is not None


def _not_placed(survey: Survey) -> Iterator[Fallen]:
    """What has no path to go back to, a job's files together."""
    for path, folder in survey.folders.items():
        if _is_ours(path):
            names = {*folder.pictures, *folder.unreadable, *folder.markers, *folder.others}
            held = [f"{path}/{name}" for name in sorted(names) if not name.endswith(NOTE_SUFFIX)]
            if held:
                yield Fallen(tuple(held), tuple(held))


def _on_their_way(spool: Spool) -> Iterator[str]:
    """What jobs that are being given up have put there, the note not yet beside it."""
    try:
        jobs = [name for name, _ in spool.jobs.listing() if not name.startswith(".")]
    except OSError:
        return
    for job in jobs:
        try:
            record = load(spool, job)
        except (OSError, ValueError):
            continue
        if record.state is State.FAILED:
            yield from (numbered(original, record.number) for original in record.originals)


def _notes(spool: Spool, survey: Survey) -> Iterator[FoundNote]:
    for path, folder in survey.folders.items():
        for name in sorted(name for name in folder.others if name.endswith(NOTE_SUFFIX)):
            note = find_note(Place(spool.failed, path) / name)
            if note is not None:
                yield note


def _noted(files: list[str], note: FoundNote) -> Fallen:
    """With their names of before, if the note and they agree on these, else with those they have.

    Numbered or not, files that failed together are a pair by their names.
    """
    is_there = one_line(files[0]) == note.files[0]
    first = (files[0] if is_there else note.files[0]).rpartition("/")[2]
    original = _own_name(first, note)
    homes: list[str | None] = []
    if original is not None:
        number = number_in(first, original) or 1
        base = split_suffix(original)[0]
        homes = [_home(path, base, number) for path in files]
    is_known = bool(homes) and None not in homes
    return _ordered(files, [home for home in homes if home] if is_known else files, note, is_known)


def _own_name(name: str, note: FoundNote) -> str | None:
    """What a picture was called, whose name in `failed` may have a number, by its note."""
    if note.is_on(name):
        return name
    stem, tail = split_suffix(name)
    # Of a name that was cut for its number the note has the rest.
    candidates = (split_suffix(stem)[0] + tail, note.name)
    return next((each for each in candidates if note.is_on(each) and number_in(name, each)), None)


def _home(path: str, base: str, number: int) -> str | None:
    folder, _, name = path.rpartition("/")
    own = without_number(name, base, number)
    return own and (f"{folder}/{own}" if folder else own)


def _unnoted(files: list[str]) -> Fallen:
    suffixes = (split_suffix(split_suffix(path)[0])[1] for path in files)
    is_numbered = any((number_in(f"x{suffix}", "x") or 1) > 1 for suffix in suffixes)
    return _ordered(files, files, None, not is_numbered)


def _ordered(files: list[str], homes: list[str], note: FoundNote | None, is_known: bool) -> Fallen:
    """The picture, which comes first in notes and pairs, is to go after what goes with it."""
    both = list(zip(files, homes, strict=True))
    others = [each for each in both if not is_marker(each[0])]
    ordered = [*reversed(others), *(each for each in both if is_marker(each[0]))]
    return Fallen(tuple(f for f, _ in ordered), tuple(h for _, h in ordered), note, not is_known)


def is_marker(path: str) -> bool:
    """Whether a file marks a pair as done, by its name."""
    return kind_of(path.rpartition("/")[2], with_markers=True) == "marker"


def _together(entries: list[Entry], rules: FolderRules) -> Iterator[list[str]]:
    """The files that are pairs by their names, or complete alone by the rules of their folder, each
    with its marker; the others one by one."""
    markers = [entry for entry in entries if is_marker(entry.path)]
    pictures = [entry for entry in entries if not is_marker(entry.path)]
    pairs = with_those_alone(pair_up(pictures), pictures, rules, NO_FOLDERS)
    marked = require_markers(pairs, pictures, markers).pairs
    with_marker = {pair.picture.path: pair for pair in marked}
    used: set[str] = set()
    for pair in (with_marker.get(pair.picture.path, pair) for pair in pairs.pairs):
        files = (*pair.inputs, pair.marker)
        paths = [entry.path for entry in files if entry]
        used.update(paths)
        yield paths
    yield from ([entry.path] for entry in entries if entry.path not in used)
