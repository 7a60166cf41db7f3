"""What would make a small file cost far more than its pixels: seen before anything is decoded.

Decodes nothing, and takes time in proportion to the file.
"""

import struct
from typing import Final

from daemon.worker.directories import Layout, bytes_claimed, layout_of
from daemon.worker.signatures import jpeg_markers

# A scan of a progressive JPEG may be ten bytes that go over all of the picture. Encoders write
# about ten scans; libjpeg-turbo's own limit, where it has one, is this.
MOST_JPEG_SCANS: Final = 500
_JPEG_SCAN: Final = b"\xda"

# A TIFF's decoder makes room for a whole tile, whatever the picture's size. One that is larger than
# its picture may have this many pixels, 2048 x 2048.
LARGEST_SPARE_TILE: Final = 1 << 22

# Each of a TIFF's tags may claim all of the file for its values, and is read into memory. Those of
# real files claim less than the file in all, save where tags share a value.
MOST_TIFF_CLAIMS: Final = 4

_SHORT: Final = 3
_TILE_WIDTH: Final = 322
_TILE_LENGTH: Final = 323


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP (RFC 9649, 2.5 to 2.7), or None where that can't be told.

    libwebp makes room for two of them before it says how large they are.
    """
    name, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if name == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if name == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if name == b"VP8 ":
        width, height = struct.unpack("<HH", head[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None


def tiff_pages(data: bytes) -> int:
    """How many directories a TIFF chains, each counted once (TIFF 6.0, section 2).

    Pillow compares each with all before it: a hundred thousand take it most of a minute. Raises
    `struct.error` where a directory is not there, or is still empty.
    """
    layout = layout_of(data)
    seen: set[int] = set()
    (at,) = struct.unpack_from(layout.place, data, layout.first_at)
    while at and at not in seen:
        seen.add(at)
        behind = (
            at + struct.calcsize(layout.number) + _entries(data, layout, at) * layout.entry_bytes
        )
        (at,) = struct.unpack_from(layout.place, data, behind)
    return len(seen)


def what_tags_claim(data: bytes) -> str | None:
    """What a TIFF's tags claim too much of it, for a person, or None. Raises `struct.error`.

    Pillow before 13 takes 6 GB and most of a minute for half a megabyte of such tags.
    """
    claimed = bytes_claimed(data)
    return f"tags of {claimed} bytes" if claimed > MOST_TIFF_CLAIMS * len(data) else None


def what_is_excessive(data: bytes, kind: str, width: int, height: int) -> str | None:
    """What a picture of this size has too much of, for a person, or None. Raises `struct.error`."""
    if kind == "JPEG":
        scans = sum(marker == _JPEG_SCAN for marker in jpeg_markers(data))
        return f"{scans} scans" if scans > MOST_JPEG_SCANS else None
    if kind == "TIFF":
        wide, long = _largest_tile(data)
        if wide * long > max(width * height, LARGEST_SPARE_TILE):
            return f"tiles of {wide} x {long} pixels"
    return None


def _entries(data: bytes, layout: Layout, at: int) -> int:
    (entries,) = struct.unpack_from(layout.number, data, at)
    if not entries:
        raise struct.error("a page's directory is still empty")
    return int(entries)


def _largest_tile(data: bytes) -> tuple[int, int]:
    """Width and length of the first page's tiles; the largest where a tag is there twice.

    Pillow takes the last of them, libtiff the first.
    """
    layout = layout_of(data)
    (directory,) = struct.unpack_from(layout.place, data, layout.first_at)
    start = directory + struct.calcsize(layout.number)
    largest = {_TILE_WIDTH: 0, _TILE_LENGTH: 0}
    for number in range(_entries(data, layout, directory)):
        at = start + number * layout.entry_bytes
        tag, kind = struct.unpack_from(layout.place[0] + "HH", data, at)
        if tag in largest:
            form = layout.place[0] + "H" if kind == _SHORT else layout.place
            (value,) = struct.unpack_from(form, data, at + layout.value_at)
            largest[tag] = max(largest[tag], value)
    return largest[_TILE_WIDTH], largest[_TILE_LENGTH]
