"""Ways to spoil a PNG whose checksums stay right, so that the damage gets past them (RFC 2083)."""

import struct
import zlib
from random import Random
from typing import Final

from mutations_any import DOCUMENTS, Kind, flipped, odd, zeros
from mutations_tiff import looping_exif

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]

DEPTHS: Final = (0, 1, 2, 3, 4, 8, 16, 32, 255)
COLOUR_TYPES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 255)
SIZES: Final = (0, 1, 2, 61, 97, 65535, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def chunks(data: bytes) -> list[Chunk]:
    """Name and content of each chunk."""
    found, at = [], len(SIGNATURE)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def packed(name: bytes, content: bytes) -> bytes:
    """A chunk with the length and the checksum that it should have."""
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def joined(parts: list[Chunk]) -> bytes:
    """A file of chunks."""
    return SIGNATURE + b"".join(packed(*part) for part in parts)


def pixels_of(parts: list[Chunk]) -> bytes:
    """The filtered rows, inflated."""
    return zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))


def with_stream(parts: list[Chunk], *streams: bytes) -> bytes:
    """The file with other compressed pixels, one chunk for each piece."""
    others = [part for part in parts if part[0] != b"IDAT"]
    return joined([*others[:-1], *((b"IDAT", piece) for piece in streams), others[-1]])


def with_chunks(data: bytes, *added: Chunk) -> bytes:
    """The file with chunks put behind its header, in place of those of their names."""
    names = {name for name, _ in added}
    parts = [part for part in chunks(data) if part[0] not in names]
    return joined([parts[0], *added, *parts[1:]])


def header(width: int, height: int, depth: int = 8, colours: int = 2) -> Chunk:
    """An IHDR chunk."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)


def chunk_flipped(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    parts[at] = (parts[at][0], flipped(rng, parts[at][1]))
    return joined(parts)


def chunk_removed(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    del parts[rng.randrange(len(parts))]
    return joined(parts)


def chunk_doubled(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    return joined([*parts[:at], *[parts[at]] * rng.choice((2, 3, 1000)), *parts[at:]])


def chunks_shuffled(rng: Random, data: bytes) -> bytes:
    first, *rest, last = chunks(data)
    rng.shuffle(rest)
    return joined([first, *rest, last] if rng.random() < 0.7 else [*rest, last, first])


def chunk_renamed(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    name = rng.choice((b"IDAT", b"IEND", b"PLTE", b"fdAT", b"CgBI", b"\0\0\0\0", rng.randbytes(4)))
    parts[at] = (name, parts[at][1])
    return joined(parts)


def wrong_length(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    before, after = joined(parts[:at]), joined(parts[at:])[len(SIGNATURE) :]
    return before + odd(rng, 4) + after[4:]


def wrong_checksum(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(1, len(parts) + 1)
    before, after = joined(parts[:at]), joined(parts[at:])[len(SIGNATURE) :]
    return before[:-4] + rng.randbytes(4) + after


def odd_header(rng: Random, data: bytes) -> bytes:
    fields = list(struct.unpack(">IIBBBBB", chunks(data)[0][1][:13]))
    choices = (SIZES, SIZES, DEPTHS, COLOUR_TYPES, (1, 8, 255), (1, 64, 255), (1, 2, 255))
    for at in rng.sample(range(7), rng.choice((1, 1, 2))):
        fields[at] = rng.choice(choices[at])
    return with_chunks(data, (b"IHDR", struct.pack(">IIBBBBB", *fields)))


def another_depth_and_colour(rng: Random, data: bytes) -> bytes:
    """A header that the standard allows, for pixels of another layout."""
    layouts = [(depth, 0) for depth in (1, 2, 4, 8, 16)] + [(depth, 3) for depth in (1, 2, 4, 8)]
    layouts += [(depth, colours) for depth in (8, 16) for colours in (2, 4, 6)]
    width, height = struct.unpack(">II", chunks(data)[0][1][:8])
    name, content = header(width, height, *rng.choice(layouts))
    return with_chunks(data, (name, content[:-1] + bytes([rng.randrange(2)])))


def odd_filters(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    return with_stream(parts, zlib.compress(flipped(rng, pixels_of(parts), 200)))


def rows_missing(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    rows = pixels_of(parts)
    return with_stream(parts, zlib.compress(rows[: rng.randrange(len(rows))]))


def rows_too_many(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    return with_stream(parts, zlib.compress(pixels_of(parts) * rng.choice((2, 10, 500))))


def stream_flipped(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    stream = b"".join(content for name, content in parts if name == b"IDAT")
    return with_stream(parts, flipped(rng, stream))


def stream_in_crumbs(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    stream = b"".join(content for name, content in parts if name == b"IDAT")[:3000]
    size = rng.choice((1, 1, 7))
    return with_stream(parts, *(stream[at : at + size] for at in range(0, len(stream), size)), b"")


def stream_with_others_between(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    stream = b"".join(content for name, content in parts if name == b"IDAT")
    at = rng.randrange(len(stream))
    between: Chunk = rng.choice(((b"tEXt", b"a\0b"), (b"PLTE", bytes(9)), (b"IHDR", parts[0][1])))
    others = [part for part in parts if part[0] != b"IDAT"]
    pieces: list[Chunk] = [(b"IDAT", stream[:at]), between, (b"IDAT", stream[at:])]
    return joined([*others[:-1], *pieces, others[-1]])


def stream_bomb(rng: Random, data: bytes) -> bytes:
    return with_stream(chunks(data), zeros(rng.choice((1 << 20, 1 << 24, 1 << 28))))


def stored_stream(rng: Random, data: bytes) -> bytes:
    """Deflate blocks without compression, one of a wrong length."""
    stream = bytearray(zlib.compress(pixels_of(chunks(data)), 0))
    stream[3:7] = rng.randbytes(4)
    return with_stream(chunks(data), bytes(stream))


def profile_bomb(rng: Random, data: bytes) -> bytes:
    stream = zeros(rng.choice((1 << 16, 1 << 20, 1 << 24)))
    return with_chunks(data, (b"iCCP", b"a\0" + bytes([rng.choice((0, 0, 1))]) + stream))


def profile_damaged(rng: Random, data: bytes) -> bytes:
    found = dict(chunks(data)).get(b"iCCP", b"a\0\0" + zlib.compress(rng.randbytes(300)))
    name, _, stream = found.partition(b"\0")
    profile = flipped(rng, zlib.decompress(stream[1:]), 40)
    return with_chunks(data, (b"iCCP", name + b"\0\0" + zlib.compress(profile)))


def text_bomb(rng: Random, data: bytes) -> bytes:
    stream = zeros(rng.choice((1 << 10, 1 << 21, 1 << 24)))
    form, before = rng.choice(((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")))
    return with_chunks(data, *[(form, before + stream)] * rng.choice((1, 100)))


def odd_text(rng: Random, data: bytes) -> bytes:
    name = rng.choice((b"tEXt", b"zTXt", b"iTXt"))
    return with_chunks(data, (name, rng.choice((b"", b"a", b"\0", *DOCUMENTS, rng.randbytes(50)))))


def odd_palette(rng: Random, data: bytes) -> bytes:
    palette = rng.randbytes(rng.choice((0, 1, 2, 3, 4, 300, 768, 769, 3000)))
    parts = with_chunks(data, (b"PLTE", palette), (b"tRNS", rng.randbytes(rng.choice((0, 1, 300)))))
    width, height = struct.unpack(">II", chunks(data)[0][1][:8])
    depth = rng.choice((1, 2, 4, 8, 16))
    return with_chunks(parts, header(width, height, depth, 3)) if rng.random() < 0.7 else parts


def odd_transparency(rng: Random, data: bytes) -> bytes:
    return with_chunks(data, (b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 3, 5, 6, 7, 256, 300)))))


def looping_exif_chunk(rng: Random, data: bytes) -> bytes:
    return with_chunks(data, (b"eXIf", rng.choice((b"", b"Exif\0\0")) + looping_exif(rng)))


def odd_measures(rng: Random, data: bytes) -> bytes:
    names = (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"bKGD", b"sBIT", b"hIST", b"tIME", b"cICP")
    size = rng.choice((0, 1, 4, 9, 32, 500))
    return with_chunks(data, (rng.choice(names), rng.choice((bytes(size), b"\xff" * size))))


def animation(rng: Random, data: bytes) -> bytes:
    """An APNG whose frames are out of order, of odd sizes, or not there."""
    count = rng.choice((0, 1, 2, 1000, 0xFFFFFFFF))
    frames: list[Chunk] = [(b"acTL", struct.pack(">II", count, rng.choice((0, 1, 0xFFFFFFFF))))]
    for number in range(rng.choice((0, 1, 3, 300))):
        size = rng.choice(((97, 61), (1, 1), (0, 0), (0xFFFFFFFF, 1)))
        place = rng.choice(((0, 0), (96, 60), (0xFFFFFFFF, 0)))
        control = struct.pack(">IIIIIHHBB", number, *size, *place, 0, 0, rng.randrange(4), 0)
        frames.append((b"fcTL", control[: rng.choice((26, 26, 7))]))
        frames.append((b"fdAT", struct.pack(">I", rng.choice((number, 0))) + rng.randbytes(9)))
    first, *rest = chunks(data)
    if rng.random() < 0.5:
        return joined([first, *frames, *rest])
    return joined([first, frames[0], *rest[:-1], *frames[1:], rest[-1]])


KINDS: Final[tuple[Kind, ...]] = (
    chunk_flipped, chunk_removed, chunk_doubled, chunks_shuffled, chunk_renamed, wrong_length,
    wrong_checksum, odd_header, another_depth_and_colour, odd_filters, rows_missing, rows_too_many,
    stream_flipped, stream_in_crumbs, stream_with_others_between, stream_bomb, stored_stream,
    profile_bomb, profile_damaged, text_bomb, odd_text, odd_palette, odd_transparency,
    looping_exif_chunk, odd_measures, animation,
)  # fmt: skip
