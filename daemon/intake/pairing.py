"""Which picture and which mask or trimap belong together, told by their names alone.

Two layouts, freely mixed:

- side by side: `cat.jpg` with `cat_mask.png`, `cat.mask.png` or `cat-mask.png`, or `trimap` for
  `mask`; the whole name may be carried too, `cat.jpg.mask.png`, where `cat.png` exists as well;
- parallel trees: `shoot/images/day 1/cat.jpg` with `shoot/masks/day 1/cat.png` or `trimaps`.

Suffixes may differ, case and Unicode form too. A pair is a pair only where each is the other's sole
candidate; nothing is ever guessed. The companion decides the task; only in a matting folder, which
a setting names, a mask means cutting out as well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from daemon.intake.matting import NO_FOLDERS, MattingFolders
from daemon.intake.names import folded, split_suffix
from daemon.intake.scan import Entry, Identity
from daemon.reasons import Report, one_line

Role = Literal["mask", "trimap"]
Task = Literal["inpaint", "matting"]
# Where it is told what is to be done to a picture: by a file of its own, by its folder's mask, or
# by its own transparency. The last two are settings of folders: see `alone`.
Source = Literal["own", "folder", "alpha"]
# Which rule made a pair: the two layouts, and those two settings.
Rule = Literal["beside", "trees", "folder", "alpha"]

_COMPANION_STEM: Final = re.compile(
    r"(.+)[_.\-](mask|trimap)", re.ASCII | re.IGNORECASE | re.DOTALL
)
# An ambiguity is told by that many names at most: who drops a thousand twins gets one line.
_MOST_NAMED: Final = 8
_COUPLE: Final = 2
_TREES: Final[dict[str, Role | None]] = {"images": None, "masks": "mask", "trimaps": "trimap"}


@dataclass(frozen=True)
class Pair:
    """A picture and its only companion; or a picture alone, whose folder says where its hole is.

    `companion` is None for one that is alone: its mask is then `mask_file`, which lies outside the
    inbox, or, where that is None, its own transparency; see `alone`.

    The tails are what follows the common base in each file's own name (`.jpg` and `_mask.png` for
    `cat`): a number put before them renames both and keeps them a pair. `marker` is what says that
    both are complete, where that is asked for; see `markers`.
    """

    picture: Entry
    companion: Entry | None
    role: Role
    task: Task
    picture_tail: str
    companion_tail: str
    marker: Entry | None = None
    marker_tail: str = ""
    mask_file: str | None = None

    @property
    def source(self) -> Source:
        """Where it is told what is to be done."""
        if self.companion is not None:
            return "own"
        return "alpha" if self.mask_file is None else "folder"

    @property
    def inputs(self) -> tuple[Entry, ...]:
        """Its files in the inbox that a worker reads, the picture first."""
        return (self.picture,) if self.companion is None else (self.picture, self.companion)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """What must stay the same for the pair to be the same."""
        files = (*self.inputs, self.marker)
        return tuple(entry.identity for entry in files if entry)

    @property
    def folders(self) -> set[str]:
        """The folder or folders that hold it; the inbox itself is the empty path."""
        files = (*self.inputs, self.marker)
        return {_split_folder(entry.path)[0] for entry in files if entry}


@dataclass(frozen=True)
class Waiting:
    """A file that stays in the inbox, and what it waits for."""

    path: str
    report: Report


@dataclass(frozen=True)
class Pairing:
    """All pictures of a scan, each in exactly one of the two, be it with its companion."""

    pairs: tuple[Pair, ...]
    waiting: tuple[Waiting, ...]


class _Key(NamedTuple):
    layout: Literal["beside", "trees"]
    folder: str
    stem: str


class _Reading(NamedTuple):
    """One way to read a name as a companion: the key of its picture, its role, its base name."""

    key: _Key
    role: Role
    base: str


@dataclass(frozen=True)
class _Meeting:
    """The files that one key brings together: each of the companions may belong to each picture.

    No file meets itself: as a companion its key is shorter than its name.
    """

    pictures: list[Entry]
    companions: list[tuple[Entry, _Reading]]


def rule_of(pair: Pair) -> Rule:
    """Which rule made a pair. Pure."""
    if pair.companion is None:
        return "alpha" if pair.mask_file is None else "folder"
    picture, companion = (_split_folder(entry.path)[0] for entry in pair.inputs)
    return "beside" if folded(picture) == folded(companion) else "trees"


def makes_trimap(task: Task, role: Role) -> bool:
    """Whether the trimap that a task needs is to be made from a mask."""
    return task == "matting" and role == "mask"


def pair_up(entries: Iterable[Entry], matting_folders: MattingFolders = NO_FOLDERS) -> Pairing:
    """Find the pairs among the files of one scan. Pure: only names are looked at.

    Its cost grows with the number of files, whatever their names.
    """
    files = list(entries)
    readings = {e.path: found for e in files if (found := list(_companion_readings(e.path)))}
    meetings = _meetings(files, readings)
    circles = _circles(meetings)
    pairs: dict[str, Pair] = {}
    for meeting in meetings:
        picture, (companion, reading) = meeting.pictures[0], meeting.companions[0]
        if len(circles[picture.path]) == _COUPLE and companion.path not in pairs:
            pairs[companion.path] = _pair(picture, companion, reading, matting_folders)
    waiting = [
        Waiting(entry.path, _why_waiting(entry.path, circles, readings, matting_folders))
        for entry in files
        if len(circles.get(entry.path, ())) != _COUPLE
    ]
    return Pairing(tuple(pairs.values()), tuple(waiting))


@lru_cache(maxsize=1 << 15)
def group_of(folder: str) -> str:
    """The name that all folders share whose files may pair: no pair leads from group to group."""
    tree = _tree(folder)
    return folded(folder) if tree is None else tree[0]


def _meetings(files: list[Entry], readings: Mapping[str, list[_Reading]]) -> list[_Meeting]:
    companions: dict[_Key, list[tuple[Entry, _Reading]]] = {}
    for entry in files:
        for reading in readings.get(entry.path, ()):
            companions.setdefault(reading.key, []).append((entry, reading))
    pictures: dict[_Key, list[Entry]] = {}
    for entry in files if companions else ():
        for key in _picture_keys(entry.path):
            if key in companions:
                pictures.setdefault(key, []).append(entry)
    return [_Meeting(pictures[key], met) for key, met in companions.items() if key in pictures]


def _circles(meetings: list[_Meeting]) -> dict[str, list[str]]:
    """For each file that meets another: itself, all it meets, all that these meet, sorted.

    The smaller circle joins the larger, so no file moves more often than circles can double.
    """
    circles: dict[str, list[str]] = {}
    for meeting in meetings:
        paths = {entry.path for entry in meeting.pictures}
        paths.update(entry.path for entry, _ in meeting.companions)
        joined = {id(circles[path]): circles[path] for path in paths if path in circles}
        largest = max(joined.values(), key=len, default=[])
        smaller = [path for circle in joined.values() if circle is not largest for path in circle]
        for path in (*smaller, *(path for path in paths if path not in circles)):
            largest.append(path)
            circles[path] = largest
    for circle in {id(circle): circle for circle in circles.values()}.values():
        circle.sort()
    return circles


def _pair(
    picture: Entry, companion: Entry, reading: _Reading, matting_folders: MattingFolders
) -> Pair:
    picture_name = _split_folder(picture.path)[1]
    companion_name = _split_folder(companion.path)[1]
    base = reading.base
    if folded(base) == folded(picture_name):  # `cat.jpg.mask.png`: the common base is `cat`
        base = split_suffix(base)[0]
    is_matting = reading.role == "trimap" or any(
        matting_folders.hold(entry.path) for entry in (picture, companion)
    )
    return Pair(
        picture,
        companion,
        reading.role,
        "matting" if is_matting else "inpaint",
        split_suffix(picture_name)[1],
        companion_name[len(base) :],
    )


def _picture_keys(path: str) -> Iterator[_Key]:
    folder, name = _split_folder(path)
    stems = (folded(split_suffix(name)[0]), folded(name))
    for stem in stems:
        yield _Key("beside", folded(folder), stem)
    tree = _tree(folder)
    if tree is not None and tree[1] is None:
        for stem in stems:
            yield _Key("trees", tree[0], stem)


def _companion_readings(path: str) -> Iterator[_Reading]:
    folder, name = _split_folder(path)
    stem = split_suffix(name)[0]
    marked = _COMPANION_STEM.fullmatch(stem)
    if marked:
        role = _role(marked[2])
        yield _Reading(_Key("beside", folded(folder), folded(marked[1])), role, marked[1])
    tree = _tree(folder)
    if tree is not None and tree[1] is not None:
        yield _Reading(_Key("trees", tree[0], folded(stem)), tree[1], stem)
        if marked and _role(marked[2]) == tree[1]:
            yield _Reading(_Key("trees", tree[0], folded(marked[1])), tree[1], marked[1])


def _why_waiting(
    path: str,
    circles: Mapping[str, list[str]],
    readings: Mapping[str, list[_Reading]],
    matting_folders: MattingFolders,
) -> Report:
    """Made by hand: a `Trouble` puts its words together at once, and most are never read."""
    folder, name = _split_folder(path)
    if path in circles:
        return ambiguous(path, circles[path])
    if path not in readings:
        purpose = "cut out" if matting_folders.hold(path) else "retouch"
        stem = one_line(split_suffix(name)[0])
        return Report("companion_missing", {"stem": stem, "purpose": purpose})
    reading = readings[path][-1]  # the one that a person is likeliest to have meant
    where = "beside it" if reading.key.layout == "beside" else f"into {_images_folder(folder)}"
    facts = {"role": reading.role, "stem": one_line(reading.base), "where": one_line(where)}
    return Report("picture_missing", {**facts})


def ambiguous(path: str, circle: list[str]) -> Report:
    """That a file waits, and all it is entangled with: who looks at a mask must see its rival too.

    `circle` holds the file itself.
    """
    others = [other for other in circle[:_MOST_NAMED] if other != path]
    names = [path, *others[: _MOST_NAMED - 1]]
    more = len(circle) - len(names)
    files = one_line(", ".join(names) + (f" and {more} more" if more else ""))
    return Report("ambiguous", {"files": files})


def _images_folder(folder: str) -> str:
    """Where the pictures of a folder of masks or trimaps lie."""
    parts = folder.split("/")
    at = max(i for i, part in enumerate(parts) if folded(part) in _TREES)
    return "/".join([*parts[:at], "images", *parts[at + 1 :]])


def _role(word: str) -> Role:
    return "mask" if word.lower() == "mask" else "trimap"


def _split_folder(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


@lru_cache(maxsize=4096)
def _tree(folder: str) -> tuple[str, Role | None] | None:
    """The folder less its innermost tree name, and that tree's role; None outside trees."""
    parts = folded(folder).split("/")
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] in _TREES:
            # A star can't clash with a real folder: no single path component holds a slash.
            return "/".join([*parts[:at], "*/", *parts[at + 1 :]]), _TREES[parts[at]]
    return None
