"""Qt binary resources (`.rcc`): the files inside one, without Qt.

Trusts: the file no more than any download: every offset is checked before it is followed. Promises:
the files' paths and bytes, or an `RccError` whose sentence names the file. Data stored plainly or
compressed with zlib is read; Zstandard is refused, as the standard library of Python 3.11 has none.

The layout, all numbers big-endian, as Qt's resource compiler (`rcc --binary`) writes it:

    header  "qres", version, offset of the tree, of the data, of the names; in version 3 flags
    node    offset of its name, flags; then for a folder (flag 2) the number of children and the
            first child's index; for a file territory and language, offset of its data; from
            version 2 on every node ends in 8 bytes of modification time
    name    length in UTF-16 units (2 bytes), hash (4), text in UTF-16
    data    length (4), bytes; with zlib (flag 1) these begin with the length when inflated (4)
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_FOLDER = 2
_ZLIB = 1
_ZSTANDARD = 4
_NODE_SIZE = {1: 14, 2: 22, 3: 22}
# Deeper than any resource, and far below Python's limit of calls within calls.
_MAX_DEPTH = 64
# No picture of a resource is near this large; a torn length can't fill the memory.
MAX_FILE_BYTES = 256 * 2**20


class RccError(Exception):
    """A resource file can't be read. The text names the file, what is wrong and what to do."""


class Resource:
    """An open resource: `names()` lists the files inside, `read(name)` gives one's bytes.

    Names are paths with `/` between folders, without a leading one.
    """

    def __init__(self, path: Path) -> None:
        """Read the file and its tree. Raises `RccError`."""
        self._path = path
        try:
            self._bytes = path.read_bytes()
        except OSError as error:
            raise RccError(f"{path}: can't be read ({error.strerror}).") from None
        if self._bytes[:4] != b"qres":
            raise RccError(f"{path}: is no Qt resource (it does not begin with 'qres').")
        self._version, self._tree, self._data, self._name_table = self._numbers(">4I", 4)
        if self._version not in _NODE_SIZE:
            raise RccError(
                f"{path}: is a Qt resource of version {self._version}, and 1 to 3 are known."
            )
        self._visited: set[int] = set()
        self._files = dict(self._walk(0, "", 0))

    def names(self) -> list[str]:
        """The paths of all files inside, sorted."""
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises `RccError`: no such file, torn or Zstandard data."""
        if name not in self._files:
            raise RccError(f"{self._path}: has no file {name}.")
        flags, start = self._files[name]
        (length,) = self._numbers(">I", self._data + start)
        stored = self._slice(self._data + start + 4, length)
        if flags & _ZSTANDARD:
            raise RccError(
                f"{self._path}: {name} is compressed with Zstandard, which is not read here. "
                "Use a package whose resources are compressed with zlib."
            )
        return self._inflate(name, stored) if flags & _ZLIB else stored

    def _inflate(self, name: str, stored: bytes) -> bytes:
        length = int.from_bytes(stored[:4], "big")
        if length > MAX_FILE_BYTES:
            raise self._torn()
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(stored[4:], length)
        except zlib.error:
            raise RccError(f"{self._path}: {name} is damaged. Fetch the package again.") from None
        if len(data) != length:
            raise RccError(f"{self._path}: {name} is cut short. Fetch the package again.")
        return data

    def _walk(self, index: int, parent: str, depth: int) -> Iterator[tuple[str, tuple[int, int]]]:
        """(path, (flags, offset of the data)) of each file below a node."""
        if depth > _MAX_DEPTH or index in self._visited:
            raise self._torn()
        self._visited.add(index)
        at = self._tree + index * _NODE_SIZE[self._version]
        name_offset, flags = self._numbers(">IH", at)
        path = parent if index == 0 else self._join(parent, self._name(name_offset))
        if flags & _FOLDER:
            count, first = self._numbers(">2I", at + 6)
            for child in range(first, first + count):
                yield from self._walk(child, path, depth + 1)
        else:
            (start,) = self._numbers(">I", at + 10)
            yield path, (flags, start)

    def _name(self, offset: int) -> str:
        at = self._name_table + offset
        (length,) = self._numbers(">H", at)
        return self._slice(at + 6, 2 * length).decode("utf-16-be", errors="replace")

    @staticmethod
    def _join(parent: str, name: str) -> str:
        return f"{parent}/{name}" if parent else name

    def _numbers(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack(layout, self._slice(at, struct.calcsize(layout)))

    def _slice(self, start: int, length: int) -> bytes:
        if start + length > len(self._bytes):
            raise self._torn()
        return self._bytes[start : start + length]

    def _torn(self) -> RccError:
        return RccError(f"{self._path}: is damaged or cut short. Fetch the package again.")
