"""Ways to spoil a JPEG: its segments, its tables, its scans (ITU-T T.81)."""

import struct
from random import Random
from typing import Final

from mutations_any import DOCUMENTS, Kind, flipped, odd
from mutations_tiff import looping_exif

START, END, SCAN, TABLES, HUFFMAN, RESTARTS, LINES = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xDC
APP0, EXIF, PROFILE, PHOTOSHOP, ADOBE, COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
FRAMES: Final = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))
PROFILE_NAME: Final = b"ICC_PROFILE\0"

# A marker, the segment's content behind its length, and the entropy-coded data that follows.
Segment = tuple[int, bytes, bytes]


def segments(data: bytes) -> list[Segment]:
    """The file's segments between its start and its end marker; what comes later is left out."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at + 1] != END:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        after = behind = at + 2 + size
        if data[at + 1] == SCAN:
            while data[behind] != 0xFF or data[behind + 1] in (0, *range(0xD0, 0xD8)):
                behind += 1
        found.append((data[at + 1], data[at + 4 : after], data[after:behind]))
        at = behind
    return found


def packed(marker: int, content: bytes, behind: bytes = b"") -> bytes:
    """A segment with the length it should have; a content too long for one is cut."""
    content = content[:65533]
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + behind


def joined(parts: list[Segment]) -> bytes:
    """A file of segments."""
    body = b"".join(packed(*part) for part in parts)
    return bytes([0xFF, START]) + body + bytes([0xFF, END])


def _find(rng: Random, parts: list[Segment], *markers: int) -> int:
    """The place of one of the segments of these kinds, or of any where there is none."""
    fitting = [at for at, part in enumerate(parts) if part[0] in markers]
    return rng.choice(fitting or range(len(parts)))


def _flipped_in(rng: Random, data: bytes, *markers: int) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, *markers)
    marker, content, behind = parts[at]
    parts[at] = (marker, flipped(rng, content), behind)
    return joined(parts)


def with_segments(data: bytes, *added: Segment) -> bytes:
    """The file with segments put in front."""
    return joined([*added, *segments(data)])


def segment_flipped(rng: Random, data: bytes) -> bytes:
    return _flipped_in(rng, data, *range(256))


def segment_removed(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    del parts[rng.randrange(len(parts))]
    return joined(parts)


def segment_doubled(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = rng.randrange(len(parts))
    return joined([*parts[:at], *[parts[at]] * rng.choice((2, 3, 50)), *parts[at:]])


def segments_shuffled(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    return joined(rng.sample(parts, len(parts)))


def segment_renamed(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = rng.randrange(len(parts))
    parts[at] = (rng.choice((rng.randrange(0xC0, 256), rng.randrange(256))), *parts[at][1:])
    return joined(parts)


def wrong_length(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = rng.randrange(len(parts))
    before, after = joined(parts[:at])[:-2], joined(parts[at:])[2:]
    return before + after[:2] + odd(rng, 2) + after[4:]


def odd_tables(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    table = bytes([rng.choice((0, 1, 3, 4, 15, 16, 255))]) + rng.choice(
        (bytes(64), b"\xff" * 64, rng.randbytes(128), b"")
    )
    parts.insert(_find(rng, parts, SCAN), (TABLES, table, b""))
    return joined(parts)


def tables_flipped(rng: Random, data: bytes) -> bytes:
    return _flipped_in(rng, data, TABLES)


def huffman_flipped(rng: Random, data: bytes) -> bytes:
    return _flipped_in(rng, data, HUFFMAN)


def odd_huffman(rng: Random, data: bytes) -> bytes:
    """A table that counts more codes than there can be, or none."""
    parts = segments(data)
    counts = rng.choice((bytes(16), b"\xff" * 16, b"\2" + bytes(15), bytes(15) + b"\xff"))
    table = bytes([rng.choice((0, 1, 0x10, 0x11, 4, 0xFF))]) + counts + rng.randbytes(256)
    parts.insert(_find(rng, parts, SCAN), (HUFFMAN, table, b""))
    return joined(parts)


def odd_frame(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, *FRAMES)
    marker, content, behind = parts[at]
    frame = bytearray(content.ljust(6, b"\0"))
    for _ in range(rng.choice((1, 1, 2))):
        field = rng.choice((0, 1, 1, 3, 3, 5, *range(6, len(frame))))
        frame[field : field + 1] = rng.choice((b"\0", b"\1", b"\4", b"\x22", b"\x44", b"\xff"))
    parts[at] = (marker, bytes(frame), behind)
    return joined(parts)


def another_process(rng: Random, data: bytes) -> bytes:
    """Baseline as progressive, lossless or arithmetic, and the other way round."""
    parts = segments(data)
    at = _find(rng, parts, *FRAMES)
    parts[at] = (rng.choice(FRAMES), *parts[at][1:])
    return joined(parts)


def frame_twice(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, *FRAMES)
    parts.insert(_find(rng, parts, SCAN, *FRAMES), (rng.choice(FRAMES), flipped(rng, parts[at][1]),
                                                    b""))  # fmt: skip
    return joined(parts)


def odd_scan(rng: Random, data: bytes) -> bytes:
    return _flipped_in(rng, data, SCAN)


def scans_repeated(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, SCAN)
    return joined([*parts[:at], *[parts[at]] * rng.choice((2, 30, 300)), *parts[at:]])


def scan_bomb(data: bytes, width: int, height: int, scans: int) -> bytes:
    """Empty scans of a large progressive picture: each is a few bytes, and goes over all of it."""
    parts = [part for part in segments(data) if part[0] in (TABLES, HUFFMAN)]
    frame = struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0)
    # One code of one bit: a run of 2^14 blocks without anything (EOB14), and 14 bits of its length.
    table = (HUFFMAN, b"\x10\1" + bytes(15) + b"\xe0", b"")
    blocks = -(-width // 8) * -(-height // 8)
    bits = "".join("0" + "1" * 14 for _ in range(-(-blocks // 32767)))
    bits += "1" * (-len(bits) % 8)
    runs = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan: Segment = (SCAN, b"\1\1\0\1\x3f\0", runs)
    quantised: list[Segment] = [part for part in parts if part[0] == TABLES]
    return joined([*quantised, (0xC2, frame, b""), table, *[scan] * scans])


def few_empty_scans(rng: Random, data: bytes) -> bytes:
    return scan_bomb(data, rng.choice((97, 1000)), rng.choice((61, 1000)), rng.choice((1, 50)))


def odd_restarts(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, SCAN)
    marker, content, behind = parts[at]
    for _ in range(rng.randint(0, 30)):
        place = rng.randrange(len(behind) + 1)
        behind = behind[:place] + bytes([0xFF, 0xD0 + rng.randrange(8)]) + behind[place:]
    parts[at] = (marker, content, behind)
    parts.insert(at, (RESTARTS, odd(rng, 2), b""))
    return joined(parts)


def coefficients_flipped(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, SCAN)
    parts[at] = (*parts[at][:2], flipped(rng, parts[at][2], 40))
    return joined(parts)


def stuffing_removed(rng: Random, data: bytes) -> bytes:
    parts = segments(data)
    at = _find(rng, parts, SCAN)
    parts[at] = (*parts[at][:2], parts[at][2].replace(b"\xff\0", b"\xff", rng.randint(1, 5)))
    return joined(parts)


def height_told_later(rng: Random, data: bytes) -> bytes:
    """A frame of no lines, with or without the segment that tells their number (B.2.5)."""
    parts = segments(data)
    at = _find(rng, parts, *FRAMES)
    marker, content, behind = parts[at]
    parts[at] = (marker, content[:1] + b"\0\0" + content[3:], behind)
    return joined([*parts, (LINES, odd(rng, 2), b"")] if rng.random() < 0.7 else parts)


def fill_bytes(rng: Random, data: bytes) -> bytes:
    """As many 0xFF before a marker as one likes (B.1.1.2), and such as no marker follows."""
    fill = b"\xff" * rng.choice((1, 100, 5000))
    parts = segments(data)
    at = rng.randrange(len(parts))
    before, after = joined(parts[:at])[:-2], joined(parts[at:])[2:]
    return before + fill + rng.choice((b"", b"\0")) + after


def looping_exif_segment(rng: Random, data: bytes) -> bytes:
    return with_segments(data, (EXIF, b"Exif\0\0" + looping_exif(rng), b""))


def odd_application_segment(rng: Random, data: bytes) -> bytes:
    names = (b"JFIF\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0",
             b"MPF\0", b"Adobe\0", b"FPXR\0", PROFILE_NAME)  # fmt: skip
    tail = rng.choice((b"", b"8BIM\3\xed\0\0" + odd(rng, 4) + b"a", rng.randbytes(20),
                       *DOCUMENTS))  # fmt: skip
    return with_segments(data, (rng.randrange(APP0, 0xF0), rng.choice(names) + tail, b""))


def odd_resolution(rng: Random, data: bytes) -> bytes:
    jfif = struct.pack(">5sHB", b"JFIF\0", 0x0102, rng.randrange(4)) + odd(rng, 2) + odd(rng, 2)
    return with_segments(data, (APP0, jfif + bytes([rng.choice((0, 255)), 0]), b""))


def profile_out_of_order(rng: Random, data: bytes) -> bytes:
    pieces: list[Segment] = []
    for _ in range(rng.choice((1, 2, 255))):
        place = bytes([rng.choice((0, 1, 2, 255)), rng.choice((0, 1, 2, 255))])
        pieces.append((PROFILE, PROFILE_NAME + place + rng.randbytes(rng.choice((0, 9, 400))), b""))
    return with_segments(data, *pieces)


def profile_damaged(rng: Random, data: bytes) -> bytes:
    return _flipped_in(rng, data, PROFILE)


def odd_colour_transform(rng: Random, data: bytes) -> bytes:
    adobe = b"Adobe" + struct.pack(">HHHB", 100, 0, 0, rng.choice((0, 1, 2, 3, 255)))
    return with_segments(data, (ADOBE, adobe[: rng.choice((12, 12, 5, 7))], b""))


def looping_view_index(rng: Random, data: bytes) -> bytes:
    """A phone's index of views that points at the first, at itself, or nowhere (CIPA DC-007)."""
    views = rng.choice((0, 1, 2, 3, 1000))
    view = struct.pack("<IIIHH", rng.choice((0x30000, 0x20003, 0)), rng.choice((0, len(data))),
                       rng.choice((0, 1, len(data), 0xFFFFFFFF)), 1, 1)  # fmt: skip
    told = rng.choice((views, 1, 2, 0xFFFFFFFF))
    tags = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100")
    tags += struct.pack("<HHII", 0xB001, 4, 1, told)
    tags += struct.pack("<HHII", 0xB002, 7, 16 * rng.choice((views, views, told)) % (1 << 32), 50)
    index = b"II*\0\x08\0\0\0\3\0" + tags + struct.pack("<I", rng.choice((0, 8))) + view * views
    return with_segments(data, (PROFILE, b"MPF\0" + index, b""))


KINDS: Final[tuple[Kind, ...]] = (
    segment_flipped, segment_removed, segment_doubled, segments_shuffled, segment_renamed,
    wrong_length, odd_tables, tables_flipped, huffman_flipped, odd_huffman, odd_frame,
    another_process, frame_twice, odd_scan, scans_repeated, few_empty_scans, odd_restarts,
    coefficients_flipped, stuffing_removed, height_told_later, fill_bytes, looping_exif_segment,
    odd_application_segment, odd_resolution, profile_out_of_order, profile_damaged,
    odd_colour_transform, looping_view_index,
)  # fmt: skip
