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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from daemon.intake.matting import NO_FOLDERS, MattingFolders
from daemon.intake.names import folded, split_suffix
from daemon.intake.scan import Entry, Identity
from daemon.reasons import Report, Trouble

Role = Literal["mask", "trimap"]
Task = Literal["inpaint", "matting"]

_COMPANION_STEM: Final = re.compile(
    r"(.+)[_.\-](mask|trimap)", re.ASCII | re.IGNORECASE | re.DOTALL
)
# An ambiguity is told by that many names at most: who drops a thousand twins gets one line.
_MOST_NAMED: Final = 8
_TREES: Final[dict[str, Role | None]] = {"images": None, "masks": "mask", "trimaps": "trimap"}


@dataclass(frozen=True)
class Pair:
    """A picture and its only companion.

    The tails are what follows the common base in each file's own name (`.jpg` and `_mask.png` for
    `cat`): a number put before them renames both and keeps them a pair.
    """

    picture: Entry
    companion: Entry
    role: Role
    task: Task
    picture_tail: str
    companion_tail: str

    @property
    def identities(self) -> tuple[Identity, Identity]:
        """What must stay the same for the pair to be the same."""
        return self.picture.identity, self.companion.identity


@dataclass(frozen=True)
class Waiting:
    """A file that stays in the inbox, and what it waits for."""

    path: str
    report: Report


@dataclass(frozen=True)
class Pairing:
    """All files of a scan, each in exactly one of the two."""

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


def makes_trimap(task: Task, role: Role) -> bool:
    """Whether the trimap that a task needs is to be made from a mask."""
    return task == "matting" and role == "mask"


def pair_up(entries: Iterable[Entry], matting_folders: MattingFolders = NO_FOLDERS) -> Pairing:
    """Find the pairs among the files of one scan. Pure: only names are looked at."""
    files = {entry.path: entry for entry in entries}
    pictures: defaultdict[_Key, list[str]] = defaultdict(list)
    for path in files:
        for key in _picture_keys(path):
            pictures[key].append(path)
    # Edges from companions to pictures; `readings` keeps how each edge read the companion's name.
    neighbours: defaultdict[str, set[str]] = defaultdict(set)
    readings: dict[tuple[str, str], _Reading] = {}
    for path in files:
        for reading in _companion_readings(path):
            for picture in pictures.get(reading.key, ()):
                if picture != path:
                    neighbours[path].add(picture)
                    neighbours[picture].add(path)
                    readings.setdefault((picture, path), reading)
    pairs = [
        _pair(files[picture], files[companion], reading, matting_folders)
        for (picture, companion), reading in readings.items()
        if len(neighbours[picture]) == 1 and len(neighbours[companion]) == 1
    ]
    paired = {path for pair in pairs for path in (pair.picture.path, pair.companion.path)}
    waiting = [
        Waiting(path, _why_waiting(path, neighbours, matting_folders))
        for path in files
        if path not in paired
    ]
    return Pairing(tuple(pairs), tuple(waiting))


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
    path: str, neighbours: Mapping[str, set[str]], matting_folders: MattingFolders
) -> Report:
    folder, name = _split_folder(path)
    candidates = neighbours.get(path)
    if candidates:
        return Report.of(Trouble("ambiguous", files=_entangled(path, neighbours)))
    readings = list(_companion_readings(path))
    if not readings:
        purpose = "cut out" if matting_folders.hold(path) else "retouch"
        stem = split_suffix(name)[0]
        return Report.of(Trouble("companion_missing", stem=stem, purpose=purpose))
    reading = readings[-1]  # the one that a person is likeliest to have meant
    where = "beside it" if reading.key.layout == "beside" else f"into {_images_folder(folder)}"
    return Report.of(Trouble("picture_missing", role=reading.role, stem=reading.base, where=where))


def _entangled(path: str, neighbours: Mapping[str, set[str]]) -> str:
    """The file, its candidates and theirs: who looks at a mask must see its rival too."""
    near = neighbours[path]
    names = [path, *sorted(near.union(*(neighbours[other] for other in near)) - {path})]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


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
