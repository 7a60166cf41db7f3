"""Where each entry of the book stands, so that one can be had by its number: the oldest is 0.

Of each entry only its place in its file is kept, and whether it failed, which is 11 bytes: a book
of years stays small in memory, and no more of it is read than is asked for.
"""

import heapq
import os
import re
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

from daemon.places import Place
from daemon.spool import files
from daemon.spool.book import FOLDER, REBUILT, months_in
from daemon.spool.entries import Ended, ended_of

# How a line begins and ends that was written whole.
_LINE: Final = re.compile(
    rb'\{"job":"([^"\\]+)","outcome":"(done|failed)","ended_at":([\d.e+]+),.*\}\n', re.DOTALL
)
# A crash writes a job a second time when it is settled, among the first that end after it.
_MOST_TWICE: Final = 2000


class _Line(NamedTuple):
    file: int
    offset: int
    job: bytes
    has_failed: bool
    ended_at: float


class Positions:
    """The entries of the book in the work folder that the settings name, by their numbers.

    Numbers stay what they are while this lives. What was found out later, and written into the book
    as a whole, is seen by the next one.
    """

    def __init__(self, work: Path) -> None:
        """Nothing is read yet."""
        self._folder = Place(work, FOLDER)
        self._is_fresh = True
        self._begin()

    def _begin(self) -> None:
        # Where a file has been taken away and begun anew, the first is none any more.
        self._names: list[str | None] = []
        self._ends: dict[str, int] = {}
        self._files = array("H")
        self._offsets = array("Q")
        self._failed = bytearray()
        self._recent: OrderedDict[bytes, int] = OrderedDict()

    def count(self) -> int:
        """How many entries there are by now. Raises `OSError`."""
        if self._is_fresh:  # an error may have cut short the first look
            self._begin()
        for line in self._all_lines() if self._is_fresh else self._new_lines():
            self._add(line)
        self._is_fresh = False
        return len(self._offsets)

    def failures(self) -> int:
        """How many of those that were counted last are of jobs that were given up."""
        return self._failed.count(True)

    def between(self, first: int, last: int) -> Sequence[Ended]:
        """The entries from one number to before another, as far as there are such.

        One that is damaged, or gone, is left out. Raises `OSError`.
        """
        found: list[Ended] = []
        numbers = range(max(0, first), min(last, len(self._offsets)))
        for file, part in _runs(numbers, self._files):
            name = self._names[file]
            if name is None:
                continue
            with suppress(FileNotFoundError), files.reading(self._folder / name) as book:
                found += self._read(book, part)
        return found

    def _read(self, book: BufferedReader, numbers: Sequence[int]) -> Iterator[Ended]:
        for number in numbers:
            book.seek(self._offsets[number])
            with suppress(ValueError):
                yield ended_of(book.readline())

    def _all_lines(self) -> Iterator[_Line]:
        """The months in their order, and what was found out later of jobs that they lack."""
        rebuilt = {line.job: line for line in self._lines_of(REBUILT)}
        if rebuilt:
            for line in self._new_lines():
                rebuilt.pop(line.job, None)
            self._ends.clear()
        return heapq.merge(self._new_lines(), rebuilt.values(), key=lambda line: line.ended_at)

    def _add(self, line: _Line) -> None:
        known = self._recent.get(line.job)
        if known is not None:  # the last of two counts
            self._files[known], self._offsets[known] = line.file, line.offset
            self._failed[known] = line.has_failed
            return
        self._recent[line.job] = len(self._offsets)
        self._files.append(line.file)
        self._offsets.append(line.offset)
        self._failed.append(line.has_failed)
        if len(self._recent) > _MOST_TWICE:
            self._recent.popitem(last=False)

    def _new_lines(self) -> Iterator[_Line]:
        months = months_in(self._folder)
        # Only the newest grows; since the last look there may be a newer one.
        seen = max((name for name in months if name in self._ends), default="")
        for name in months:
            if name >= seen:
                yield from self._lines_of(name)

    def _lines_of(self, name: str) -> Iterator[_Line]:
        """The lines of a file that have come since the last look, if they are whole."""
        try:
            with files.reading(self._folder / name) as book:
                if self._ends.get(name, 0) > book.seek(0, os.SEEK_END):
                    self._names[self._number_of(name)] = None
                    del self._ends[name]
                start = book.seek(self._ends.get(name, 0))
                file = self._number_of(name)
                for line in book:
                    if not line.endswith(b"\n"):
                        break
                    self._ends[name] = start + len(line)
                    if found := _LINE.fullmatch(line):
                        yield _Line(file, start, found[1], found[2] == b"failed", float(found[3]))
                    start += len(line)
        except (FileNotFoundError, NotADirectoryError):  # who lists the months is told of a file
            return

    def _number_of(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)


def _runs(numbers: Sequence[int], of: "array[int]") -> Iterator[tuple[int, list[int]]]:
    """Neighbours that lie in one file, together, with that file's number."""
    run: list[int] = []
    for number in numbers:
        if run and of[run[-1]] != of[number]:
            yield of[run[-1]], run
            run = []
        run.append(number)
    if run:
        yield of[run[-1]], run
