"""What is kept of the calls of one kind, so that no restart loses or forgets one.

`work/.hooks/NAME/` holds `position`, up to where in the book all calls have been made, and a file
for each call that failed and is to be tried again. A cursor alone would have one call that always
fails hold up all that come after it; a file for each call that is due would write every line of the
book a second time. A crash between the two writes has a call made twice, and none lost.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from daemon.places import Place
from daemon.spool import files
from daemon.spool.book import Mark
from daemon.spool.entries import Ended, ended_of, line_of

_POSITION: Final = "position"
_SUFFIX: Final = ".json"


class Position(NamedTuple):
    """So many jobs after a mark in the book."""

    mark: Mark
    skip: int = 0


@dataclass(frozen=True)
class Late:
    """A call that has failed. Times are seconds since 1970."""

    ended: Ended
    tries: int
    first_at: float
    next_at: float


class Ledger:
    """The folder of one kind of calls. All of it raises `OSError`."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder

    def position(self) -> Position | None:
        """Up to where all calls were made; None where none was ever due."""
        try:
            data = self._read(_POSITION)
            return Position(Mark(str(data["month"]), int(data["offset"])), int(data["skip"]))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def late(self) -> Iterator[Late]:
        """The calls that are to be tried again."""
        for name, _ in self._folder.listing():
            if name.endswith(_SUFFIX):
                with suppress(ValueError, KeyError, TypeError):  # none of ours
                    yield _late(self._read(name))

    def advance(self, position: Position) -> None:
        """Go on in the book. On return that is on the disk."""
        (month, offset), skip = position
        self._write(_POSITION, {"month": month, "offset": offset, "skip": skip})

    def keep(self, late: Late) -> None:
        """Remember a call that failed, or failed again. On return that is on the disk."""
        ended = json.loads(line_of(late.ended))
        times = {"tries": late.tries, "first_at": late.first_at, "next_at": late.next_at}
        self._write(_name(late.ended), {**times, "ended": ended})

    def drop(self, late: Late) -> None:
        """It was made after all, or is given up."""
        files.remove_file(self._folder / _name(late.ended))

    def forget(self) -> None:
        """No calls of this kind are wanted, and later none of those that were."""
        files.remove_folder(self._folder)

    def _read(self, name: str) -> Any:
        with files.reading(self._folder / name) as file:
            return json.loads(file.read())

    def _write(self, name: str, data: object) -> None:
        files.make_folders(self._folder, files.PRIVATE)
        files.write_durably(self._folder / name, json.dumps(data).encode("ascii"))


def _late(data: Any) -> Late:
    ended = ended_of(json.dumps(data["ended"]).encode("ascii"))
    return Late(ended, int(data["tries"]), float(data["first_at"]), float(data["next_at"]))


def _name(ended: Ended) -> str:
    return hashlib.sha256(os.fsencode(ended.job)).hexdigest()[:24] + _SUFFIX
