"""A TIFF's first directory, entry by entry and never decoded (TIFF 6.0, section 2; BigTIFF).

Where a tag is there twice the first counts, as for libtiff.
"""

import io
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO, Final, NamedTuple

_SHORT: Final = 3
# How to read the whole numbers among the types, and how many bytes each type takes.
_WHOLE: Final = {1: "B", _SHORT: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_TYPE_BYTES: Final = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
# Of a tag with a number for each channel, as many are read.
MOST_NUMBERS: Final = 16


class Layout(NamedTuple):
    """How a TIFF or a BigTIFF writes numbers: formats of `struct`, and where the first is."""

    place: str
    number: str
    entry_bytes: int
    first_at: int
    value_at: int


class Entry(NamedTuple):
    """A tag, its type, how many values it has, and all of it as it stands in the file."""

    tag: int
    kind: int
    values: int
    raw: bytes


def layout_of(head: bytes) -> Layout:
    """The layout of a file that begins so."""
    order = "<" if head.startswith(b"I") else ">"
    if b"+" in head[2:4]:
        return Layout(order + "Q", order + "Q", 20, 8, 12)
    return Layout(order + "I", order + "H", 12, 4, 8)


def first_entries(file: BinaryIO) -> list[Entry]:
    """The entries of the first directory, in the file's order. Raises `struct.error`."""
    head = _head(file)
    layout = layout_of(head)
    (at,) = struct.unpack_from(layout.place, head, layout.first_at)
    return entries_at(file, layout, at)


def entries_at(file: BinaryIO, layout: Layout, at: int) -> list[Entry]:
    """The entries of the directory at a place. Raises `struct.error`."""
    file.seek(at)
    size = struct.calcsize(layout.number)
    (count,) = struct.unpack(layout.number, file.read(size))
    raw = file.read(count * layout.entry_bytes)
    if not count or len(raw) < count * layout.entry_bytes:
        raise struct.error("a page's directory is not all there")
    form = layout.place[0] + "HH" + layout.place[1]
    starts = range(0, len(raw), layout.entry_bytes)
    entries = []
    for start in starts:
        tag, kind, values = struct.unpack_from(form, raw, start)
        entries.append(Entry(tag, kind, values, raw[start : start + layout.entry_bytes]))
    return entries


def numbers(file: BinaryIO, tag: int, most: int = MOST_NUMBERS) -> tuple[int, ...]:
    """The first whole numbers of a tag; none where it is not there, or holds no whole numbers.

    Raises `struct.error` where they are not all there.
    """
    entry = next((each for each in first_entries(file) if each.tag == tag), None)
    if entry is None or entry.kind not in _WHOLE:
        return ()
    layout = layout_of(_head(file))
    form = f"{layout.place[0]}{min(entry.values, most)}{_WHOLE[entry.kind]}"
    if bytes_of(entry) <= len(entry.raw) - layout.value_at:
        return struct.unpack_from(form, entry.raw, layout.value_at)
    (at,) = struct.unpack_from(layout.place, entry.raw, layout.value_at)
    file.seek(at)
    return struct.unpack(form, file.read(struct.calcsize(form)))


def bytes_of(entry: Entry) -> int:
    """How many bytes its values claim to take."""
    return entry.values * _TYPE_BYTES.get(entry.kind, 0)


def bytes_claimed(data: bytes) -> int:
    """How much of the file its first directory's tags claim, each byte as often as it is claimed.

    Of a tag that claims more than there is, what is there. Raises `struct.error`.
    """
    layout = layout_of(data)
    claimed = 0
    for entry in first_entries(io.BytesIO(data)):
        size = bytes_of(entry)
        if size > len(entry.raw) - layout.value_at:
            (at,) = struct.unpack_from(layout.place, entry.raw, layout.value_at)
            claimed += max(0, min(size, len(data) - at))
    return claimed


def add_entries(file: BinaryIO, added: Iterable[Entry], without: Collection[int]) -> None:
    """Write the first directory anew at the file's end, with these entries and without those."""
    names = {entry.tag for entry in added} | set(without)
    kept = [entry for entry in first_entries(file) if entry.tag not in names]
    layout = layout_of(_head(file))
    at = file.seek(0, io.SEEK_END)
    file.write(bytes(at % 2))
    file.writelines(_packed(layout, [*kept, *added]))
    file.seek(layout.first_at)
    file.write(struct.pack(layout.place, at + at % 2))


def _packed(layout: Layout, entries: Iterable[Entry]) -> Iterator[bytes]:
    ordered = sorted(entries)
    yield struct.pack(layout.number, len(ordered))
    yield from (entry.raw for entry in ordered)
    yield struct.pack(layout.place, 0)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(16)
