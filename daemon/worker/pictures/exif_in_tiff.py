"""Puts what an EXIF block says of a photo into a finished TIFF, as its own tags.

Pillow can't write it into a compressed TIFF, and libvips writes none.
"""

import io
from typing import BinaryIO, Final

from PIL import Image, TiffImagePlugin, TiffTags

from daemon.worker.directories import Entry, add_entries, entries_at, layout_of
from daemon.worker.pictures.damage import DECODING_ERRORS
from daemon.worker.pictures.keepsakes import PHOTO_DIRECTORIES, PHOTO_TAGS

# libvips invents a resolution where it was told none.
_RESOLUTION: Final = (
    TiffImagePlugin.X_RESOLUTION,
    TiffImagePlugin.Y_RESOLUTION,
    TiffImagePlugin.RESOLUTION_UNIT,
)


def add(out: BinaryIO, exif: bytes | None, has_resolution: bool) -> None:
    """Add an EXIF block's tags to the TIFF in `out`, and take out an invented resolution.

    A block that can't be read, or not be written as tags, is left out.
    """
    out.seek(0)
    head = out.read(16)
    added = _written(out, head, exif) if exif else []
    add_entries(out, added, () if has_resolution else _RESOLUTION)


def _written(out: BinaryIO, head: bytes, exif: bytes) -> list[Entry]:
    """Write the block's values at the end of `out`. Returns the entries that point to them."""
    at = out.seek(0, io.SEEK_END)
    at += out.write(bytes(at % 2))
    try:
        block = _directory(exif, head).tobytes(at)
    except (OSError, *DECODING_ERRORS):
        return []
    out.write(block)
    return entries_at(out, layout_of(head), at)


def _directory(exif: bytes, head: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    found = Image.Exif()
    found.load(exif)
    directory = TiffImagePlugin.ImageFileDirectory_v2(head if b"+" in head[2:4] else head[:8])
    for tag in PHOTO_TAGS:
        if tag in found:
            directory[tag] = found[tag]
    for tag in PHOTO_DIRECTORIES:
        if inner := found.get_ifd(tag):
            directory.tagtype[tag] = TiffTags.LONG
            directory._tags_v2[tag] = dict(inner)
    return directory
