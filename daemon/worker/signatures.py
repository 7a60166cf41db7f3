"""What a file's bytes say before they are decoded: which kind it is, and whether it is all there.

Decodes nothing. Pillow takes a file that was made at its final size and is filled in later, as some
uploaders do, for a whole picture in some formats: what each format has by way of an end is looked
for here.
"""

import re
from collections.abc import Iterator
from typing import Final

from daemon.reasons import Trouble

_OURS: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"RIFF", "WEBP"),
    (b"BM", "BMP"),
)
_FOREIGN: Final = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
)
_HEAD_BYTES: Final = 64

# The next marker of a JPEG that is neither a stuffed byte nor a restart (ITU-T T.81, B.1.1.2). Fill
# bytes may stand before it; were they in the pattern, a file full of them would take hours.
_JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_JPEG_WITHOUT_LENGTH: Final = b"\x01\xd8"
_JPEG_END: Final = b"\xd9"

# The last chunk of a PNG. Something may follow it, such as a share's own trailer.
_PNG_END: Final = b"IEND\xaeB`\x82"
_PNG_TRAILER_BYTES: Final = 1 << 16
_PNG_DEPTH_AT: Final = 24
_PNG_COLOUR_AT: Final = 25
# By colour type: grey, RGB, palette, grey and alpha, RGB and alpha.
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

_OS2_HEADER_BYTES: Final = 12

# Copies fill a file in blocks of a multiple of this. Encoders may end a flat picture in thousands
# of zeros, but not so that they begin on a block, save by a chance of one in so many.
BLOCK_BYTES: Final = 512
# Fewer zeros than this can be the end of anything.
ZERO_TAIL_BYTES: Final = 64


def kind_of(data: bytes, role: str) -> str:
    """The format that a file begins like: one of JPEG, PNG, TIFF, WEBP, BMP.

    Raises `Trouble`: `incomplete` where it may be the start of such a file, `not_a_picture` where
    it is something else.
    """
    head = data[:_HEAD_BYTES]
    if not head:
        raise Trouble("incomplete", role=role, detail="it is empty")
    if head.startswith(b"RIFF") and not b"WEBP".startswith(head[8:12].rstrip(b"\0")):
        raise Trouble("not_a_picture", role=role, looks_like="a sound or a film")
    for start, kind in _OURS:
        if head.startswith(start):
            return kind
    written = head.rstrip(b"\0")
    if not written:
        raise Trouble("incomplete", role=role, detail="it begins with zeros")
    if any(start.startswith(written) for start, _ in _OURS):
        raise Trouble("incomplete", role=role, detail="only its first bytes are there")
    raise Trouble("not_a_picture", role=role, looks_like=_looks_like(head))


def what_is_missing(data: bytes, kind: str) -> str | None:
    """What a file lacks of its format's structure, for a person, or None.

    BMP, and TIFF but for its compressed strips, have no structure that would tell.
    """
    whole = {"JPEG": _jpeg_ends, "PNG": _png_ends, "WEBP": _webp_ends}.get(kind)
    return None if whole is None or whole(data) else "its end is missing"


def has_unwritten_blocks(data: bytes) -> bool:
    """Whether a file ends in zeros that begin on a block: for compressed data without an end."""
    written = len(data.rstrip(b"\0"))
    return written % BLOCK_BYTES == 0 and len(data) - written >= ZERO_TAIL_BYTES


def png_bits(data: bytes) -> int:
    """Bits a channel of a PNG: 1, 2, 4, 8 or 16."""
    return data[_PNG_DEPTH_AT]


def png_channels(data: bytes) -> int:
    """Channels of a PNG as it is stored, 1 to 4. Raises `KeyError` for a kind that there is not."""
    return _PNG_CHANNELS[data[_PNG_COLOUR_AT]]


def bmp_bits(data: bytes) -> int:
    """Bits a pixel of a BMP: 1, 4, 8, 16, 24 or 32."""
    at = 24 if data[14] == _OS2_HEADER_BYTES else 28
    return int.from_bytes(data[at : at + 2], "little")


def webp_is_lossy(data: bytes) -> bool:
    """True where the pixels lie in a `VP8 ` chunk rather than a `VP8L` one (RFC 9649)."""
    return b"VP8L" not in (name for name, _, _ in _webp_chunks(data))


def _looks_like(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, name in _FOREIGN:
        if head.startswith(start) or text.lower().startswith(start):
            return name
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF picture, or a film"
    if text and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "text"
    return "something else"


def jpeg_markers(data: bytes) -> Iterator[bytes]:
    """The markers of a JPEG's first picture, in order, its end marker too if that is there."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        yield found[1]
        at = found.end()
        if found[1] == _JPEG_END:
            return
        if found[1] not in _JPEG_WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")


def _jpeg_ends(data: bytes) -> bool:
    """Whether the first picture's end marker is there; other things may follow it."""
    return _JPEG_END in jpeg_markers(data)


def _png_ends(data: bytes) -> bool:
    return _PNG_END in data[-_PNG_TRAILER_BYTES:]


def _webp_ends(data: bytes) -> bool:
    size = 8 + int.from_bytes(data[4:8], "little")
    end = max((end for _, _, end in _webp_chunks(data[:size])), default=0)
    is_long_enough = end > 0 and end + 1 >= size  # a last byte may be padding
    return is_long_enough and not has_unwritten_blocks(data)


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk that is there in full."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if end > len(data) or not data[at : at + 4].strip(b"\0"):
            break
        yield data[at : at + 4], at + 8, end
        at = end + size % 2
