"""Names as people write them: the end of a path, as it is or as it was shown, or with a slip."""

import difflib
import os
import re
from collections.abc import Iterable
from typing import Final

from daemon.intake.names import folded, split_suffix
from daemon.reasons import one_line

MOST_NEAR: Final = 3
# One letter too few in `coffee` leaves 0.91; `cat` and `cut` have 0.67 in common.
LIKENESS: Final = 0.8
_DIGITS: Final = re.compile(r"\D")


def from_here(path: str) -> str:
    """The whole path of one that is meant from the current folder, no link followed. Where that
    folder is gone, as one that a retry has emptied, it leads to the root, where no spool is.
    """
    try:
        return os.path.abspath(path)  # noqa: PTH100 - a link at its end is what is asked for
    except FileNotFoundError:
        return os.path.normpath(f"/{path}")


def is_called(path: str, asked: str) -> bool:
    """Whether a path, or its end, is what was asked for, as it is or as `one_line` shows it."""
    return any(f"/{each}".endswith(f"/{asked}") for each in (path, one_line(path)))


def nearest(asked: str, paths: Iterable[str]) -> list[str]:
    """The paths whose names are the asked one but for case, suffix or a slip, the likest first.

    Names that differ in a digit are those of two pictures, not of one with a slip.
    """
    sought = _stem(asked)
    by_stem: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        by_stem.setdefault(_stem(path), []).append(path)
    stems = [stem for stem in by_stem if _digits(stem) == _digits(sought)]
    close = difflib.get_close_matches(sought, stems, n=MOST_NEAR, cutoff=LIKENESS)
    return [path for stem in close for path in sorted(by_stem[stem])][:MOST_NEAR]


def _stem(path: str) -> str:
    return folded(split_suffix(path.rpartition("/")[2])[0])


def _digits(text: str) -> str:
    return _DIGITS.sub("", text)
