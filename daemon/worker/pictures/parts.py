"""A file in parts, read as one: what a decoder needs of a large file, and nothing of it copied."""

import io
import struct
from bisect import bisect_right
from collections.abc import Collection, Iterable
from itertools import accumulate
from typing import Final

from daemon.worker.directories import Entry, first_entries, layout_of

_FROM_START: Final = 0
_FROM_HERE: Final = 1


class Parts:
    """Bytes that lie in several places, one after the other; read like a file."""

    def __init__(self, parts: Iterable[bytes | memoryview]) -> None:
        """The parts must not change while they are read."""
        self._parts = [view for part in parts if (view := memoryview(part)).nbytes]
        self._ends = list(accumulate(view.nbytes for view in self._parts))
        self._at = 0

    def read(self, size: int) -> bytes | memoryview:
        """So many bytes, fewer only at the end."""
        first = self._some(size)
        if len(first) == size or not len(first):
            return first
        found = [first]
        size -= len(first)
        while size and len(more := self._some(size)):
            found.append(more)
            size -= len(more)
        return b"".join(found)

    def seek(self, offset: int, whence: int = _FROM_START) -> int:
        """Where it is now. Before the start is the start, beyond the end the end."""
        end = self._ends[-1] if self._ends else 0
        base = {_FROM_START: 0, _FROM_HERE: self._at}.get(whence, end)
        self._at = min(max(0, base + offset), end)
        return self._at

    def _some(self, size: int) -> memoryview:
        """What one part has of them."""
        number = bisect_right(self._ends, self._at)
        if number == len(self._parts):
            return memoryview(b"")
        part = self._parts[number]
        start = self._at - (self._ends[number] - part.nbytes)
        found = part[start : start + size]
        self._at += found.nbytes
        return found


def tiff_with_only(data: bytes, tags: Collection[int]) -> Parts:
    """A TIFF with a directory of these of its tags, each once, in order, and no page after it.

    Raises `struct.error`.
    """
    first: dict[int, Entry] = {}
    for entry in first_entries(io.BytesIO(data)):
        if entry.tag in tags:
            first.setdefault(entry.tag, entry)
    layout = layout_of(data)
    padding = len(data) % 2
    head = data[: layout.first_at] + struct.pack(layout.place, len(data) + padding)
    directory = (
        struct.pack(layout.number, len(first)),
        *(entry.raw for entry in sorted(first.values())),
        struct.pack(layout.place, 0),
    )
    return Parts((head, memoryview(data)[len(head) :], bytes(padding), *directory))
