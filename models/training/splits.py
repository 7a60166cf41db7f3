"""Which split each picture of one's own folder is in.

Subfolders named as splits say it. Without them a hash of each picture's name does, so a picture
keeps its split whatever comes and goes beside it; except where few pictures would leave training
or validation without one.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

from models.training.listing import Report
from models.training.pack import Split

# A picture, its path below the folder (and below that of its split), its split.
Placed = tuple[Path, Sequence[str], Split]

SPLITS: tuple[Split, ...] = get_args(Split)

_FOLDERS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}

# Of a hundred pictures of a folder without splits, this many are for training and validation.
_TRAIN, _VALIDATION = 90, 5


def sorted_into_splits(
    root: Path, pictures: Iterable[Path], report: Report, is_usable: Callable[[Path], bool]
) -> Iterator[Placed]:
    """Each picture under `root` with its split.

    By the subfolders of `root` where one is named as a split, and then those in no such folder are
    named to `report`; otherwise as `splits_of_names` says. Pictures of one name with other endings
    are of one thing, and lie in one split.
    """
    if any(path.is_dir() and split_of_folder(path.name) for path in root.iterdir()):
        return _in_folders(root, pictures, report)
    return _by_name(root, pictures, is_usable)


def split_of_folder(name: str) -> Split | None:
    """The split that a subfolder of this name holds, in capitals or not; None for any other."""
    return _FOLDERS.get(name.lower())


def split_of_name(name: str) -> Split:
    """The split of a picture by its name: 90, 5 and 5 of a hundred, the same on every machine."""
    percent = _percent(name)
    if percent < _TRAIN:
        return "train"
    return "validation" if percent < _TRAIN + _VALIDATION else "test"


def splits_of_names(names: Iterable[str], is_usable: Callable[[str], bool]) -> dict[str, Split]:
    """The split of each name by its hash, with a usable one for training and for validation.

    Where two or more are usable, both have at least one: the usable name nearest to an empty split
    is moved there, in the order of the hashes and so in any order of the files. `is_usable` is
    asked of as few names as will do, since it may have to decode pictures.
    """
    order = sorted(set(names), key=lambda name: (_percent(name), name))
    splits = {name: split_of_name(name) for name in order}

    def first(those: Sequence[str]) -> str | None:
        return next(filter(is_usable, those), None)

    def of(split: Split) -> list[str]:
        return [name for name in order if splits[name] == split]

    trained = first(of("train"))
    if trained is None:
        trained = first(order)
        if trained is not None:
            splits[trained] = "train"
    if first(of("validation")) is None:
        nearest = first(of("train")[::-1])
        # Training keeps its only one; then the next comes from the test split.
        moved = nearest if nearest != trained else first(of("test"))
        if moved is not None:
            splits[moved] = "validation"
    return splits


def _in_folders(root: Path, pictures: Iterable[Path], report: Report) -> Iterator[Placed]:
    for path in pictures:
        folder, *parts = path.relative_to(root).parts
        split = split_of_folder(folder)
        if parts and split:
            yield path, parts, split
        else:
            report(
                f"{path}: lies in none of the folders {', '.join(SPLITS)} and was left out. "
                "Move it into one of them."
            )


def _by_name(
    root: Path, pictures: Iterable[Path], is_usable: Callable[[Path], bool]
) -> Iterator[Placed]:
    named: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        named[path.relative_to(root).with_suffix("").as_posix()].append(path)

    @cache
    def is_any_usable(name: str) -> bool:
        return any(map(is_usable, named[name]))

    splits = splits_of_names(named, is_any_usable)
    for name, paths in named.items():
        for path in paths:
            yield path, path.relative_to(root).parts, splits[name]


def _percent(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 100
