"""Names that nobody has taken: `cat.png`, then `cat.2.png`, one number for all of a job."""

import hashlib
import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from daemon.intake.names import MAX_NAME_BYTES, fitted, folded, split_suffix
from daemon.places import Place
from daemon.spool.layout import Spool
from daemon.spool.record import Original, Record

# As `numbered` writes it.
_NUMBER: Final = re.compile(r"\.(?:[2-9]|[1-9]\d+)$", re.ASCII)


def free_targets(spool: Spool, record: Record, suffixes: list[str]) -> dict[str, str]:
    """Names in the outbox that are all free, with one number for all: `a.png`, then `a.2.png`."""
    folder, name = os.path.split(record.picture.path)
    base = name[: len(name) - len(record.picture.tail)]
    for number in _numbers():
        targets = {s: os.path.join(folder, fitted(base, f"{number}{s}")) for s in suffixes}  # noqa: PTH118
        if not any(Place(spool.outbox, target).is_there() for target in targets.values()):
            return targets
    raise AssertionError("the numbers do not end")


def free_number(root: Path, record: Record) -> int:
    """The least number under which none of the originals' names is taken below `root`."""
    for number in count(1):
        targets = [Place(root, numbered(original, number)) for original in record.originals]
        if not any(target.is_there() for target in targets):
            return number
    raise AssertionError("the numbers do not end")


def numbered(original: Original, number: int) -> str:
    """`cat.2_mask.png` for `cat_mask.png`: the number before the tail, so pairs stay pairs."""
    if number == 1:
        return original.path
    folder, name = os.path.split(original.path)
    base = name[: len(name) - len(original.tail)]
    return os.path.join(folder, fitted(base, f".{number}{original.tail}"))  # noqa: PTH118


def number_in(name: str, original: str) -> int | None:
    """The number that a picture got which was called `original` and now has this name.

    1 where it got none; None where the one name did not come from the other.
    """
    if name == original:
        return 1
    base, tail = split_suffix(original)
    got = _NUMBER.search(name.removesuffix(tail))
    is_it = got and fitted(base, got[0] + tail) == name
    return int(got[0][1:]) if got and is_it else None


def without_number(name: str, base: str, number: int) -> str | None:
    """What a file was called before it got a number together with its picture, whose name less its
    suffix is `base`: `cat_mask.png` for `cat.2_mask.png`. None where no such number is in it.

    What was cut off for the number is as the picture has it.
    """
    if number == 1:
        return name
    got = f".{number}"
    cuts = [at for at in range(len(name)) if name.startswith(got, at)]
    for at in cuts:
        if folded(name[:at]) == folded(base):
            return name[:at] + name[at + len(got) :]
    for at in cuts:
        if fitted(base, name[at:]) != base + name[at:] and folded(base).startswith(
            folded(name[:at])
        ):
            return base + name[at + len(got) :]
    return None


def _numbers() -> Iterator[str]:
    yield ""
    for number in count(2):
        yield f".{number}"


def note_name(name: str) -> str:
    """The name of the note that tells of a file: its own name and `.reason.txt`.

    Long names that differ only at their ends have different notes all the same.
    """
    suffix = ".reason.txt"
    if len(os.fsencode(name + suffix)) > MAX_NAME_BYTES:
        suffix = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{suffix}"
    return fitted(name, suffix)
