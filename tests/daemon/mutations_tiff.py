"""Ways to spoil a TIFF: its tags, its chains of directories, its strips and tiles (TIFF 6.0).

Also the EXIF blocks with loops that the other formats carry, since those are TIFFs.
"""

import struct
from collections.abc import Iterable
from random import Random
from typing import Final

from mutations_any import Kind, flipped, odd, zeros

HEADER: Final = b"II*\0\x08\0\0\0"
ENTRY: Final = struct.Struct("<HHII")
TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
SHORT, LONG, UNDEFINED, LONG8 = 3, 4, 7, 16

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 277, 278, 279
PLANAR, PREDICTOR, COLOURS, TILE_WIDTH, TILE_LENGTH = 284, 317, 320, 322, 323
TILE_OFFSETS, TILE_BYTES, SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT = 324, 325, 330, 338, 339
JPEG_TABLES, YCBCR_SAMPLING, XMP, PHOTOSHOP, EXIF_IFD, PROFILE, GPS_IFD = (
    347, 530, 700, 34377, 34665, 34675, 34853,
)  # fmt: skip
COMPRESSIONS: Final = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 32766, 32771, 32773, 32809, 32895, 32908, 32946, 32947, 34661,
    34676, 34677, 34712, 34887, 34925, 50000, 50001, 50002,
)  # fmt: skip

Entry = tuple[int, int, int, int]


def entries(data: bytes) -> tuple[int, list[Entry], int]:
    """Where the first directory lies, its entries, and the next directory's place."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    found = [ENTRY.unpack_from(data, at + 2 + 12 * number) for number in range(count)]
    (following,) = struct.unpack_from("<I", data, at + 2 + 12 * count)
    return at, [(a, b, c, d) for a, b, c, d in found], following


def directory(tags: Iterable[Entry], following: int = 0) -> bytes:
    """A directory of entries, as bytes."""
    packed = [ENTRY.pack(*(value % limit for value, limit in zip(tag, _LIMITS, strict=True)))
              for tag in tags]  # fmt: skip
    return struct.pack("<H", len(packed)) + b"".join(packed) + struct.pack("<I", following)


_LIMITS: Final = (1 << 16, 1 << 16, 1 << 32, 1 << 32)


def moved(data: bytes, tags: Iterable[Entry], following: int = 0) -> bytes:
    """The file with another first directory, at its end."""
    data += bytes(len(data) % 2)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory(tags, following)


def with_tags(data: bytes, *changed: Entry) -> bytes:
    """The file with these tags put in place of its own."""
    names = {tag[0] for tag in changed}
    kept = [tag for tag in entries(data)[1] if tag[0] not in names]
    return moved(data, sorted([*kept, *changed]))


def looping_exif(rng: Random) -> bytes:
    """A TIFF-formed EXIF block whose directories point at themselves and at each other."""
    tags: list[Entry] = [(274, SHORT, 1, rng.choice((0, 6, 8, 9, 65535)))]
    tags += [(tag, LONG, 1, rng.choice((8, 8, 0, 20, 0xFFFFFFFF))) for tag in (EXIF_IFD, GPS_IFD)]
    tags += [(37500, UNDEFINED, rng.choice((4, 50, 0xFFFFFFFF)), 8)]  # MakerNote
    tags += [(rng.getrandbits(16), rng.randrange(20), rng.getrandbits(rng.choice((4, 32))), 8)]
    return HEADER + directory(tags, rng.choice((0, 8))) + rng.randbytes(40)


def _one_changed(rng: Random, data: bytes, field: int, value: int) -> bytes:
    _, tags, following = entries(data)
    at = rng.randrange(len(tags))
    changed = list(tags[at])
    changed[field] = value
    tags[at] = (changed[0], changed[1], changed[2], changed[3])
    return moved(data, tags, following)


def _odd(rng: Random) -> int:
    return int.from_bytes(odd(rng, 4), "big")


def tag_renamed(rng: Random, data: bytes) -> bytes:
    return _one_changed(rng, data, 0, rng.choice((rng.getrandbits(16), rng.randrange(254, 340))))


def tag_of_another_type(rng: Random, data: bytes) -> bytes:
    return _one_changed(rng, data, 1, rng.choice((*range(20), 0xFFFF)))


def tag_with_another_count(rng: Random, data: bytes) -> bytes:
    return _one_changed(rng, data, 2, _odd(rng))


def tag_with_another_value(rng: Random, data: bytes) -> bytes:
    return _one_changed(rng, data, 3, rng.choice((_odd(rng), rng.randrange(20))))


def tags_removed(rng: Random, data: bytes) -> bytes:
    _, tags, following = entries(data)
    return moved(data, rng.sample(tags, rng.randrange(len(tags))), following)


def tags_doubled(rng: Random, data: bytes) -> bytes:
    _, tags, following = entries(data)
    return moved(data, [*tags, *rng.choices(tags, k=rng.choice((1, 20, 5000)))], following)


def tags_shuffled(rng: Random, data: bytes) -> bytes:
    _, tags, following = entries(data)
    return moved(data, rng.sample(tags, len(tags)), following)


def directory_is_its_own_next(rng: Random, data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    return moved(data, entries(data)[1], rng.choice((len(data), entries(data)[0])))


def chain(data: bytes, length: int, loops: bool) -> bytes:
    """The file with so many pages more, of one pixel; the last may point back at the first."""
    data += bytes(len(data) % 2)
    _, tags, _ = entries(data)
    first = len(data) + len(directory(tags))
    page = ((WIDTH, SHORT, 1, 1), (LENGTH, SHORT, 1, 1), (STRIP_OFFSETS, LONG, 1, 8))
    places = [first + len(directory(page)) * number for number in range(length)]
    nexts = [*places[1:], places[0] if loops else 0]
    return moved(data, tags, first) + b"".join(directory(page, place) for place in nexts)


def chain_of_directories(rng: Random, data: bytes) -> bytes:
    return chain(data, rng.choice((1, 2, 100, 3000)), rng.random() < 0.5)


def next_directory_anywhere(rng: Random, data: bytes) -> bytes:
    return moved(data, entries(data)[1], rng.choice((_odd(rng), rng.randrange(len(data)))))


def looping_sub_directories(rng: Random, data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    tag = rng.choice((SUB_IFDS, EXIF_IFD, GPS_IFD, 40965))
    return with_tags(data, (tag, rng.choice((LONG, 13)), rng.choice((1, 1000)), len(data)))


def odd_dimensions(rng: Random, data: bytes) -> bytes:
    either = rng.choice((WIDTH, LENGTH))
    return with_tags(data, (either, rng.choice((SHORT, LONG)), 1, _odd(rng)))


def strips_out_of_reach(rng: Random, data: bytes) -> bytes:
    count = rng.choice((1, 2, 1000))
    return with_tags(
        data,
        (STRIP_OFFSETS, LONG, count, rng.choice((_odd(rng), len(data)))),
        (STRIP_BYTES, LONG, count, rng.choice((_odd(rng), len(data)))),
    )


def strips_without_number(rng: Random, data: bytes) -> bytes:
    count = rng.choice((1 << 16, 1 << 20, 1 << 30, 0xFFFFFFFF))
    return with_tags(data, (rng.choice((STRIP_OFFSETS, STRIP_BYTES)), LONG, count, 8))


def odd_rows_a_strip(rng: Random, data: bytes) -> bytes:
    return with_tags(data, (ROWS_PER_STRIP, LONG, 1, _odd(rng)))


def odd_tiles(rng: Random, data: bytes) -> bytes:
    return with_tags(
        data,
        (TILE_WIDTH, LONG, 1, rng.choice((0, 1, 16, 4096, 30000, _odd(rng)))),
        (TILE_LENGTH, LONG, 1, rng.choice((0, 1, 16, 4096, 30000, _odd(rng)))),
        (TILE_OFFSETS, LONG, 1, rng.randrange(len(data))),
        (TILE_BYTES, LONG, 1, rng.choice((len(data), _odd(rng)))),
        (COMPRESSION, SHORT, 1, rng.choice((1, 5, 7, 8, 32773, 34925, 50000))),
    )


def another_compression(rng: Random, data: bytes) -> bytes:
    return with_tags(data, (COMPRESSION, SHORT, 1, rng.choice(COMPRESSIONS)))


def another_photometry(rng: Random, data: bytes) -> bytes:
    meaning = rng.choice((*range(11), 32803, 32844, 32845, 34892))
    sampling = (YCBCR_SAMPLING, SHORT, 2, rng.choice((0x10001, 0x20002, 0x40004, _odd(rng))))
    changed: list[Entry] = [(PHOTOMETRIC, SHORT, 1, meaning)]
    return with_tags(data, *changed, *([sampling] if rng.random() < 0.5 else []))


def odd_bits(rng: Random, data: bytes) -> bytes:
    bits = rng.choice((0, 1, 2, 4, 7, 9, 12, 16, 24, 32, 64, 65535))
    return with_tags(data, (BITS, SHORT, rng.choice((1, 1, 2)), bits * 0x10001))


def odd_samples(rng: Random, data: bytes) -> bytes:
    samples = (SAMPLES, SHORT, 1, rng.choice((0, 1, 2, 4, 5, 200, 65535)))
    return with_tags(data, samples, (EXTRA_SAMPLES, SHORT, 1, rng.randrange(5)))


def another_layout(rng: Random, data: bytes) -> bytes:
    return with_tags(
        data,
        (PLANAR, SHORT, 1, rng.choice((0, 2, 2, 3))),
        (PREDICTOR, SHORT, 1, rng.choice((1, 2, 3, 9))),
        (SAMPLE_FORMAT, SHORT, 1, rng.choice((1, 1, 2, 3, 5, 6, 99))),
    )


def odd_colour_table(rng: Random, data: bytes) -> bytes:
    table = (COLOURS, SHORT, rng.choice((0, 1, 48, 768, 70000)), rng.randrange(len(data)))
    return with_tags(data, table, (PHOTOMETRIC, SHORT, 1, 3))


def byte_order_denied(rng: Random, data: bytes) -> bytes:
    return rng.choice((b"MM\0*", b"MM*\0", b"II\0*")) + data[4:]


def as_big_tiff(rng: Random, data: bytes) -> bytes:
    """The directory in 64 bits, some of its fields odd."""
    _, tags, _ = entries(data)
    packed = b""
    for tag, kind, count, value in tags:
        field = odd(rng, 8, "little") if rng.random() < 0.1 else struct.pack("<Q", value)
        fewer = int.from_bytes(odd(rng, 8), "big") if rng.random() < 0.05 else count
        packed += struct.pack("<HHQ", tag, kind, fewer) + field
    start = len(data) + 16
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start)
    following = odd(rng, 8, "little") if rng.random() < 0.2 else bytes(8)
    return head + data[16:] + bytes(16) + struct.pack("<Q", len(tags)) + packed + following


def strip_bomb(data: bytes, size: int, *more: Entry) -> bytes:
    """Its one strip is a deflate stream of so many zeros."""
    stream = zeros(size)
    bomb = with_tags(
        data + stream,
        (COMPRESSION, SHORT, 1, 8),
        (STRIP_OFFSETS, LONG, 1, len(data)),
        (STRIP_BYTES, LONG, 1, len(stream)),
        (ROWS_PER_STRIP, LONG, 1, 0xFFFFFFFF),
    )
    return with_tags(bomb, *more) if more else bomb


def bomb_in_a_strip(rng: Random, data: bytes) -> bytes:
    return strip_bomb(data, rng.choice((1 << 20, 1 << 24)))


def metadata_damaged(rng: Random, data: bytes) -> bytes:
    tag = rng.choice((PROFILE, XMP, PHOTOSHOP, JPEG_TABLES, 33723, 270, 282, 296, 306))
    kind = rng.choice((UNDEFINED, 1, 2, 5, 12, 3))
    size = rng.choice((0, 1, 4, 132, 1000, 0xFFFFFFFF))
    return with_tags(data, (tag, kind, size, rng.randrange(len(data))))


def pixels_flipped(rng: Random, data: bytes) -> bytes:
    """The directory is as it was; what lies in the strips is not."""
    _, tags, following = entries(data)
    return moved(data[:8] + flipped(rng, data[8:], 64), tags, following)


KINDS: Final[tuple[Kind, ...]] = (
    tag_renamed, tag_of_another_type, tag_with_another_count, tag_with_another_value, tags_removed,
    tags_doubled, tags_shuffled, directory_is_its_own_next, chain_of_directories,
    next_directory_anywhere, looping_sub_directories, odd_dimensions, strips_out_of_reach,
    strips_without_number, odd_rows_a_strip, odd_tiles, another_compression, another_photometry,
    odd_bits, odd_samples, another_layout, odd_colour_table, byte_order_denied, as_big_tiff,
    bomb_in_a_strip, metadata_damaged, pixels_flipped,
)  # fmt: skip
