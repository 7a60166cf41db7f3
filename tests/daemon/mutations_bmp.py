"""Ways to spoil a BMP: its headers of many lengths, its palettes, its run lengths."""

import struct
from random import Random
from typing import Final

from mutations_any import Kind, flipped, odd, put

FILE_SIZE, PIXELS_AT, HEADER_SIZE, WIDTH, HEIGHT, PLANES, BITS = 2, 10, 14, 18, 22, 26, 28
COMPRESSION, IMAGE_SIZE, PIXELS_A_METRE, COLOURS = 30, 34, 38, 46
INFO_BYTES: Final = 40
RLE8, RLE4, BITFIELDS = 1, 2, 3


def u32(value: int) -> bytes:
    """Four bytes, the lowest first."""
    return struct.pack("<I", value % (1 << 32))


def bitmap(
    width: int, height: int, bits: int, compression: int, body: bytes, colours: int = 0
) -> bytes:
    """A BMP with an info header and, where `colours` says so, a palette of greys."""
    palette = b"".join(bytes([n * 255 // max(1, colours - 1)] * 3) + b"\0" for n in range(colours))
    start = 14 + INFO_BYTES + len(palette)
    head = struct.pack("<IHHI", start + len(body), 0, 0, start)
    sizes = u32(width) + u32(height) + struct.pack("<HH", 1, bits)
    info = u32(INFO_BYTES) + sizes + u32(compression) + u32(len(body))
    return b"BM" + head + info + u32(2835) * 2 + u32(colours) * 2 + palette + body


def _in_field(rng: Random, data: bytes, at: int, size: int = 4) -> bytes:
    return put(data, at, odd(rng, size, "little"))


def odd_file_size(rng: Random, data: bytes) -> bytes:
    return _in_field(rng, data, FILE_SIZE)


def pixels_elsewhere(rng: Random, data: bytes) -> bytes:
    places = (0, 2, 14, 53, 54, len(data) - 1, len(data), len(data) + 1)
    return put(data, PIXELS_AT, rng.choice((u32(rng.choice(places)), odd(rng, 4, "little"))))


def another_header_size(rng: Random, data: bytes) -> bytes:
    sizes = (0, 1, 11, 12, 16, 39, 40, 41, 52, 56, 64, 108, 124, 125, 1000, 1 << 24)
    return put(data, HEADER_SIZE, u32(rng.choice(sizes)))


def odd_header_size(rng: Random, data: bytes) -> bytes:
    return _in_field(rng, data, HEADER_SIZE)


def odd_width(rng: Random, data: bytes) -> bytes:
    return _in_field(rng, data, WIDTH)


def odd_height(rng: Random, data: bytes) -> bytes:
    return _in_field(rng, data, HEIGHT)


def upside_down(rng: Random, data: bytes) -> bytes:
    (height,) = struct.unpack_from("<i", data, HEIGHT)
    return put(data, HEIGHT, u32(rng.choice((-height, -1, 0, -height - 1, 1 << 31, 1 - (1 << 31)))))


def wide_and_flat(rng: Random, data: bytes) -> bytes:
    sizes = [u32(1), u32(rng.choice((3_000_000, 1 << 22, 1 << 28, 0x7FFFFFFF)))]
    rng.shuffle(sizes)
    return put(data, WIDTH, sizes[0] + sizes[1])


def odd_planes(rng: Random, data: bytes) -> bytes:
    return _in_field(rng, data, PLANES, 2)


def another_depth(rng: Random, data: bytes) -> bytes:
    depth = rng.choice((0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 32, 48, 64, 255, 65535))
    return put(data, BITS, struct.pack("<H", depth))


def another_compression(rng: Random, data: bytes) -> bytes:
    return put(data, COMPRESSION, u32(rng.choice((*range(16), 0xFFFFFFFF))))


def depth_and_compression(rng: Random, data: bytes) -> bytes:
    depth = struct.pack("<H", rng.choice((1, 2, 4, 8, 16, 24, 32)))
    return put(data, BITS, depth + u32(rng.randrange(7)))


def odd_image_size(rng: Random, data: bytes) -> bytes:
    return _in_field(rng, data, IMAGE_SIZE)


def odd_resolution(rng: Random, data: bytes) -> bytes:
    return put(data, PIXELS_A_METRE, odd(rng, 4, "little") + odd(rng, 4, "little"))


def odd_number_of_colours(rng: Random, data: bytes) -> bytes:
    return put(data, COLOURS, rng.choice((u32(rng.choice((1, 2, 255, 256, 257)))
                                          , odd(rng, 4, "little"))))  # fmt: skip


def palette_of_another_length(rng: Random, data: bytes) -> bytes:
    """As many greys as the header says, or not, for pixels of any depth."""
    bits = rng.choice((1, 2, 4, 8, 16))
    colours = rng.choice((0, 1, 2, 3, 16, 17, 255, 256, 300))
    made = bitmap(97, 61, bits, 0, rng.randbytes(rng.choice((0, 100, 97 * 61 * 2))), colours)
    return put(made, COLOURS, u32(rng.choice((colours, colours + 1, 0))))


def palette_flipped(rng: Random, data: bytes) -> bytes:
    end = min(len(data), 54 + 1024)
    return data[:54] + flipped(rng, data[54:end], 64) + data[end:]


def odd_bit_masks(rng: Random, data: bytes) -> bytes:
    masks = b"".join(
        rng.choice((u32(0xFF << rng.randrange(32)), u32(0), odd(rng, 4, "little")))
        for _ in range(4)
    )
    made = bitmap(97, 61, rng.choice((16, 24, 32)), rng.choice((BITFIELDS, 6)), masks + data)
    return put(made, PIXELS_AT, u32(54 + len(masks)))


def random_runs(rng: Random, data: bytes) -> bytes:
    rle = rng.choice((RLE8, RLE4))
    return bitmap(97, 61, {RLE8: 8, RLE4: 4}[rle], rle, rng.randbytes(3000), 16)


def runs_past_the_row(rng: Random, data: bytes) -> bytes:
    rle = rng.choice((RLE8, RLE4))
    run = rng.choice((b"\xff\1", b"\0\xff" + bytes(255), b"\x60\1\0\0"))
    return bitmap(97, 61, {RLE8: 8, RLE4: 4}[rle], rle, run * rng.choice((1, 90, 2000)), 16)


def run_bomb(width: int, height: int, moves: int) -> bytes:
    """Steps over 255 rows each, and ends of rows that are none: much ground in few bytes."""
    return bitmap(width, height, 8, RLE8, b"\0\2\xff\xff" * moves + b"\0\0" * moves, 16)


def steps_over_the_picture(rng: Random, data: bytes) -> bytes:
    return run_bomb(rng.choice((97, 2000)), rng.choice((61, 2000)), rng.choice((1, 30, 1000)))


def runs_under_another_depth(rng: Random, data: bytes) -> bytes:
    bits = rng.choice((1, 2, 4, 8, 16, 24, 32))
    return bitmap(97, 61, bits, rng.choice((RLE8, RLE4)), b"\4\x12\0\0" * 200 + b"\0\1", 16)


def first_header(rng: Random, data: bytes) -> bytes:
    """The OS/2 header of twelve bytes, whose palette has three bytes a colour."""
    size, bits = rng.choice((97, 0, 0xFFFF)), rng.choice((1, 4, 8, 16, 24, 32))
    info = u32(12) + struct.pack("<HHHH", size, rng.choice((61, 0, 0xFFFF)), 1, bits)
    start = rng.choice((26, 26 + 3 * 2**8, 0, len(data)))
    return b"BM" + u32(len(data)) + bytes(4) + u32(start) + info + data[54:]


def long_header(rng: Random, data: bytes) -> bytes:
    """Version 5, with a colour profile that lies anywhere."""
    size = rng.choice((52, 56, 64, 108, 124))
    more = bytearray(rng.randbytes(size - INFO_BYTES))
    if size == 124:
        more[72:80] = odd(rng, 4, "little") + odd(rng, 4, "little")
    start = u32(14 + size)
    info = u32(size) + data[18:54]
    return data[:PIXELS_AT] + start + info + bytes(more) + data[54:]


def pixels_missing(rng: Random, data: bytes) -> bytes:
    """Rows of a picture that is larger than what is there."""
    width, height = rng.choice(((97, 62), (98, 61), (2000, 2000)))
    return put(data, WIDTH, u32(width) + u32(height))


def header_flipped(rng: Random, data: bytes) -> bytes:
    return data[:2] + flipped(rng, data[2:54], 8) + data[54:]


KINDS: Final[tuple[Kind, ...]] = (
    odd_file_size, pixels_elsewhere, another_header_size, odd_header_size, odd_width, odd_height,
    upside_down, wide_and_flat, odd_planes, another_depth, another_compression,
    depth_and_compression, odd_image_size, odd_resolution, odd_number_of_colours,
    palette_of_another_length, palette_flipped, odd_bit_masks, random_runs, runs_past_the_row,
    steps_over_the_picture, runs_under_another_depth, first_header, long_header, pixels_missing,
    header_flipped,
)  # fmt: skip
