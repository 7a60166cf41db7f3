"""Names that nobody has taken: `cat.png`, then `cat.2.png`, one number for all of a job."""

import hashlib
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from daemon.places import Place
from daemon.spool import files
from daemon.spool.layout import Spool
from daemon.spool.record import Original, Record


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


def _numbers() -> Iterator[str]:
    yield ""
    for number in count(2):
        yield f".{number}"


def fitted(base: str, suffix: str) -> str:
    """`base + suffix`, the base shortened to what a file name may have in bytes."""
    room = files.MAX_NAME_BYTES - len(os.fsencode(suffix))
    while len(os.fsencode(base)) > room:
        base = base[:-1]  # a character, whole, or a byte that is none
    return base + suffix


def note_name(name: str) -> str:
    """The name of the note that tells of a file: its own name and `.reason.txt`.

    Long names that differ only at their ends have different notes all the same.
    """
    suffix = ".reason.txt"
    if len(os.fsencode(name + suffix)) > files.MAX_NAME_BYTES:
        suffix = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{suffix}"
    return fitted(name, suffix)
