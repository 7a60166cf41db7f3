"""The chunks of a PNG: which of them its pixels need, and those that hold what is kept.

Decodes nothing. Numbers and names are those of the PNG specification, third edition.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, Final, NamedTuple

from daemon.worker.pictures.parts import Parts

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Without the rest nothing is different that a pixel shows.
_OF_PIXELS: Final = (b"IHDR", b"tRNS", b"IDAT", b"IEND")
_FRAME_BYTES: Final = 12
# A chunk's length takes as many.
_NAME_BYTES: Final = 4
_INCHES_PER_METRE: Final = 1 / 0.0254
_EXIF_PREFIX: Final = b"Exif\0\0"


class Chunk(NamedTuple):
    """A chunk that is there in full: where it starts and ends with its frame, and its content."""

    name: bytes
    start: int
    end: int
    content: memoryview


def chunks_of(data: bytes) -> Iterator[Chunk]:
    """The chunks of a file, up to the first that is cut off."""
    view, at = memoryview(data), len(SIGNATURE)
    while at + _FRAME_BYTES <= len(data):
        end = at + _FRAME_BYTES + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        yield Chunk(data[at + 4 : at + 8], at, end, view[at + 8 : end - 4])
        at = end


def with_pixels_only(data: bytes) -> Parts:
    """The file with nothing in it but what its pixels need, as it stands there."""
    view = memoryview(data)
    wanted = (view[c.start : c.end] for c in chunks_of(data) if c.name in _OF_PIXELS)
    return Parts((SIGNATURE, *wanted))


def exif_in(data: bytes) -> bytes | None:
    """The EXIF block, which may stand before or after the pixels."""
    found = next((bytes(c.content) for c in chunks_of(data) if c.name == b"eXIf"), None)
    return found and _EXIF_PREFIX + found.removeprefix(_EXIF_PREFIX)


class KeepsakesIn:
    """Passes a PNG on to a file as it is written, with keepsakes behind its header.

    They are a profile, a resolution and an EXIF block. What else its writer put before the pixels,
    such as a resolution that nobody told, is left out, but for what the pixels need.
    """

    def __init__(self, out: BinaryIO, keepsakes: dict[str, Any]) -> None:
        self._out = out
        self._keepsakes = keepsakes
        self._head: bytearray | None = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes of the PNG. Returns how many. Raises `OSError`."""
        if self._head is None:
            return self._out.write(data)
        self._head += data
        at = _pixels_at(self._head)
        if at is None:
            return len(data)
        head, self._head = bytes(self._head), None
        kept = (_packed(name, content) for name, content in _kept_in(self._keepsakes))
        palette = (head[c.start : c.end] for c in chunks_of(head[:at]) if c.name in _OF_PIXELS)
        self._out.writelines((SIGNATURE, *islice(palette, 1), *kept, *palette, head[at:]))
        return len(data)


def _pixels_at(head: bytearray) -> int | None:
    """Where the first chunk of pixels begins, as soon as it has begun."""
    at = len(SIGNATURE)
    while len(head) >= at + 2 * _NAME_BYTES:
        if head[at + _NAME_BYTES : at + 2 * _NAME_BYTES] == b"IDAT":
            return at
        at += _FRAME_BYTES + int.from_bytes(head[at : at + _NAME_BYTES], "big")
    return None


def _kept_in(keepsakes: dict[str, Any]) -> Iterable[tuple[bytes, bytes]]:
    if profile := keepsakes.get("icc_profile"):
        yield b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)
    if dpi := keepsakes.get("dpi"):
        across, down = (round(each * _INCHES_PER_METRE) for each in dpi)
        yield b"pHYs", struct.pack(">IIB", across, down, 1)
    if exif := keepsakes.get("exif"):
        yield b"eXIf", exif.removeprefix(_EXIF_PREFIX)


def _packed(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
