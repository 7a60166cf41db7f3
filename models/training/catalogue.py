"""Which pictures of which Debian packages are used, for which split: `catalogue.tsv`, checked.

Each row was chosen by eye. A subject (the same animal, building or thing, in photos and cut-outs
alike) lies in one split only, so that a test picture shows nothing the training has seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from models.training.pack import Split

Sort = Literal["photo", "soft", "hard"]
CATALOGUE = Path(__file__).with_name("catalogue.tsv")
COLUMNS = ("name", "subject", "split", "kind", "package", "member", "licence")

# Between a resource file's path in its package and a picture's path in the resource.
INSIDE = "!"


class CatalogueError(Exception):
    """The catalogue breaks one of its rules. The text names the row and the rule."""


@dataclass(frozen=True)
class Entry:
    """A picture: what it shows, its split, where it lies and under which licence.

    `member` is a path in the package, for pictures in a Qt resource `path/of.rcc!path/inside`.
    `kind` is "photo", or "soft" or "hard" for a cut-out with alpha.
    """

    name: str
    subject: str
    split: Split
    kind: Sort
    package: str
    member: str
    licence: str


@cache
def read_catalogue(path: Path = CATALOGUE) -> tuple[Entry, ...]:
    """All entries, in the file's order. Raises `CatalogueError` where a row breaks a rule."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    if tuple(header.split("\t")) != COLUMNS:
        raise CatalogueError(f"{path}: the first line must name the columns {', '.join(COLUMNS)}.")
    entries = tuple(_entry(path, number, line) for number, line in enumerate(lines, start=2))
    _refuse_twins(path, entries)
    _refuse_subjects_in_two_splits(path, entries)
    return entries


def _entry(path: Path, number: int, line: str) -> Entry:
    cells = line.split("\t")
    if len(cells) != len(COLUMNS) or not all(cells):
        raise CatalogueError(f"{path}:{number}: needs {len(COLUMNS)} cells, none of them empty.")
    row = dict(zip(COLUMNS, cells, strict=True))
    if row["split"] not in get_args(Split) or row["kind"] not in get_args(Sort):
        raise CatalogueError(
            f"{path}:{number}: the split is one of {', '.join(get_args(Split))}, "
            f"the kind one of {', '.join(get_args(Sort))}."
        )
    return Entry(**row)  # type: ignore[arg-type]  # split and kind were looked at above


def _refuse_twins(path: Path, entries: Iterable[Entry]) -> None:
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        group = "photo" if entry.kind == "photo" else "cutout"
        for key in ((group, entry.name), ("", entry.package, entry.member)):
            if key in seen:
                raise CatalogueError(f"{path}: {entry.name} is there twice.")
            seen.add(key)


def _refuse_subjects_in_two_splits(path: Path, entries: Iterable[Entry]) -> None:
    splits: dict[str, Split] = {}
    for entry in entries:
        if splits.setdefault(entry.subject, entry.split) != entry.split:
            raise CatalogueError(
                f"{path}: the subject {entry.subject} lies in two splits, "
                f"{splits[entry.subject]} and {entry.split}."
            )
