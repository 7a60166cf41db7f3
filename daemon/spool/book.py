"""The book: what became of each picture, a line each, kept for years.

`work/.book/2026-11.jsonl` holds the jobs that ended in a month (UTC), a JSON object a line, in the
order in which they ended. Only the newest file ever grows, and never is an older one begun: where
the clock was ahead for a while, that file takes all that follows until its month has passed. So
whoever has read up to some line has read all that ended before.

A job's line is on the disk before the job is forgotten, so a crash may write it twice and never
loses it: of two lines of one job the last one counts. A line that a crash cut off is passed over.
Only the daemon that holds the spool's lock writes; anyone who may may read, at any time.

`work/.book/rebuilt.jsonl` holds what was found out later of jobs that the months lack; it is
written as a whole, by `retouchd history --rebuild` alone.
"""

import errno
import heapq
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from daemon.places import Place
from daemon.spool import files
from daemon.spool.entries import Ended, ended_of, line_of

FOLDER: Final = ".book"
REBUILT: Final = "rebuilt.jsonl"

_SUFFIX: Final = ".jsonl"
_MONTH: Final = re.compile(r"\d{4}-\d\d\.jsonl", re.ASCII)
_BLOCK_BYTES: Final = 1 << 16
# Ten times what a line of the longest names takes.
_LONGEST_BYTES: Final = 1 << 22


class Mark(NamedTuple):
    """How far somebody has read: which month's file, and its byte."""

    month: str
    offset: int


class Book:
    """The book of a spool. `work` is the work folder that the settings name.

    Reading it raises `OSError` where it may not be read; where there is none it is empty.
    `passed_over` is how many lines the last reading could make nothing of.
    """

    def __init__(self, work: Path) -> None:
        self._folder = Place(work, FOLDER)
        self.passed_over = 0

    def append(self, ended: Ended) -> None:
        """Add a job. On return its line is on the disk; on `OSError` it may be, and then counts."""
        self._make_folder(files.PRIVATE)
        month = time.strftime("%Y-%m", time.gmtime(ended.ended_at)) + _SUFFIX
        files.append_line(partial(self._growing_in, month), line_of(ended))

    def _growing_in(self, month: str) -> Place:
        """The file that grows in a month: the newest, or else that month's own."""
        return self._folder / max([month, *months_in(self._folder)])

    def newest(self, holding: str = "") -> Iterator[Ended]:
        """All jobs, each once, the last that ended first; no more of the book is read than is used.

        With `holding`, only those with that text somewhere in a name or another value.
        """
        self.passed_over = 0
        needle = json.dumps(holding)[1:-1].encode("ascii")
        own = chain.from_iterable(
            self._backwards(name, needle) for name in reversed(months_in(self._folder))
        )
        rebuilt = self._backwards(REBUILT, needle)
        known: set[str] = set()
        for ended in heapq.merge(own, rebuilt, key=lambda each: each.ended_at, reverse=True):
            if ended.job not in known:
                known.add(ended.job)
                yield ended

    def about(self, picture: str) -> list[Ended]:
        """What became of a picture, by its path in the inbox; the newest first."""
        return [ended for ended in self.newest(picture) if ended.picture == picture]

    def since(self, mark: Mark | None, most_bytes: int | None = None) -> tuple[list[Ended], Mark]:
        """What was added after a mark, the oldest first, and the mark of now; without one, nothing.

        Rebuilt lines are not among it. After a crash a job may come twice. With `most_bytes` it is
        no more than these hold, but for a longer line, and the mark is that of its end. Where the
        mark's file was the newest and has been taken away, it goes on from the end of what is left.
        """
        months = months_in(self._folder)
        last = months[-1] if months else ""
        if mark is None or last < mark.month:
            return [], Mark(last, self._size(last) if last else 0)
        added: list[Ended] = []
        for name in (name for name in months if name >= mark.month):
            start = mark.offset if name == mark.month else 0
            start = start if start <= self._size(name) else 0
            content = self._from(name, start, most_bytes)
            whole = content[: content.rfind(b"\n") + 1]
            added += self._understood(whole.split(b"\n"))
            mark = Mark(name, start + len(whole))
            if most_bytes is not None and len(content) >= most_bytes:
                break
        return added, mark

    def rebuild(self, found: Iterable[Ended]) -> int:
        """Enter jobs that were found otherwise, where the book lacks them; returns how many.

        What could not be read again from the book is left out. The lines of the months stay as they
        are. On return all is on the disk.
        """
        known = {ended.job for ended in self.newest()}
        new = {e.job: e for e in found if e.job not in known and self._can_be_read(e)}
        if new:
            ownership = self._ownership()
            self._make_folder(ownership)
            lines = [*self._backwards(REBUILT, b""), *new.values()]
            lines.sort(key=lambda ended: ended.ended_at)
            content = b"".join(map(line_of, lines))
            files.write_durably(self._folder / REBUILT, content, ownership)
        return len(new)

    def _make_folder(self, ownership: files.Ownership) -> None:
        try:
            files.make_folders(self._folder, ownership)
        except NotADirectoryError:
            raise _no_folder(self._folder) from None

    def _can_be_read(self, ended: Ended) -> bool:
        return any(self._understood([line_of(ended)]))

    def _ownership(self) -> files.Ownership:
        """The daemon must be able to read it, also where root has written it."""
        about = self._folder.root.stat()
        if about.st_uid == os.geteuid():
            return files.PRIVATE
        return replace(files.PRIVATE, uid=about.st_uid, gid=about.st_gid)

    def _size(self, name: str) -> int:
        about = (self._folder / name).about()
        return about.st_size if about else 0

    def _from(self, name: str, start: int, most_bytes: int | None) -> bytes:
        with files.reading(self._folder / name) as file:
            file.seek(start)
            parts = [file.read(most_bytes)]
            while b"\n" not in parts[-1] and (more := file.read(most_bytes)):
                parts.append(more)
            return b"".join(parts)

    def _backwards(self, name: str, needle: bytes) -> Iterator[Ended]:
        if not (self._folder / name).is_there():
            return
        with files.reading(self._folder / name) as file:
            yield from self._understood(line for line in _from_end(file) if needle in line)

    def _understood(self, lines: Iterable[bytes]) -> Iterator[Ended]:
        for line in filter(None, lines):
            try:
                yield ended_of(line)
            except ValueError:
                self.passed_over += 1


def months_in(folder: Place) -> list[str]:
    """The names of the months' files in the folder of a book, the oldest first."""
    try:
        listed = folder.listing()
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise _no_folder(folder) from None
    return sorted(name for name, about in listed if _MONTH.fullmatch(name) and _is_file(about))


def _is_file(about: os.stat_result | OSError) -> bool:
    """What can't be looked at may be one: whoever opens it is told why."""
    return isinstance(about, OSError) or stat.S_ISREG(about.st_mode)


def _no_folder(place: Place) -> OSError:
    # Not ENOTDIR: "it is not there" would be said of that.
    return OSError(errno.ELOOP, "it is no folder; move it away", str(place))


def _from_end(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a file, the last one first, read no further than they are asked for.

    Of one that is longer than any of ours only the end is given.
    """
    end = file.seek(0, os.SEEK_END)
    parts: list[bytes] = []  # of the line that goes on where the last block began, from its end
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        first, *lines = file.read(end - start).split(b"\n")
        if lines:
            yield lines.pop() + b"".join(reversed(parts))
            yield from reversed(lines)
            parts.clear()
        if sum(map(len, parts)) < _LONGEST_BYTES:
            parts.append(first)
        end = start
    yield b"".join(reversed(parts))
