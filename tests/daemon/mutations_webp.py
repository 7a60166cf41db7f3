"""Ways to spoil a WebP: its chunks, its canvas, its frames, both of its codecs (RFC 9649)."""

import struct
from random import Random
from typing import Final

from mutations_any import Kind, flipped, odd
from mutations_tiff import looping_exif

CODECS: Final = (b"VP8 ", b"VP8L")
NAMES: Final = (*CODECS, b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", b"LIST")
PROFILE, ALPHA, EXIF, XMP, ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02
SIZES: Final = (1, 2, 61, 97, 2000, 4096, 16383, 16384, 65535, 65536, 1 << 24)

Chunk = tuple[bytes, bytes]


def chunks(data: bytes) -> list[Chunk]:
    """Name and content of each chunk."""
    found, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def packed(name: bytes, content: bytes) -> bytes:
    """A chunk with the length and the padding that it should have."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def joined(parts: list[Chunk]) -> bytes:
    """A file of chunks."""
    body = b"WEBP" + b"".join(packed(*part) for part in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(width: int, height: int, flags: int = 0) -> Chunk:
    """A VP8X chunk: what the file holds, and on how large a canvas."""
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", struct.pack("<I", flags) + sizes


def frame(picture: list[Chunk], width: int, height: int, x: int = 0, y: int = 0) -> Chunk:
    """An ANMF chunk."""
    numbers = (x // 2, y // 2, width - 1, height - 1, 10)
    head = b"".join(number.to_bytes(3, "little") for number in numbers) + b"\0"
    return b"ANMF", head + b"".join(packed(*part) for part in picture)


def of_the_picture(data: bytes) -> list[Chunk]:
    """The chunks that hold pixels."""
    return [part for part in chunks(data) if part[0] in (*CODECS, b"ALPH")]


def animated(data: bytes, frames: int, width: int = 97, height: int = 61) -> bytes:
    """An animation of so many times this picture."""
    start: list[Chunk] = [canvas(width, height, ANIMATION), (b"ANIM", bytes(6))]
    return joined([*start, *[frame(of_the_picture(data), width, height)] * frames])


def extended(data: bytes, flags: int, *added: Chunk) -> bytes:
    """The file as one that announces more than pixels, with chunks before and behind them."""
    before = [part for part in added if part[0] in (b"ICCP", b"ANIM")]
    after = [part for part in added if part not in before]
    return joined([canvas(97, 61, flags), *before, *of_the_picture(data), *after])


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
    return joined([*parts[:at], *[parts[at]] * rng.choice((2, 3, 100)), *parts[at:]])


def chunks_shuffled(rng: Random, data: bytes) -> bytes:
    parts = [*chunks(data), canvas(97, 61, rng.getrandbits(6)), (b"EXIF", b"Exif\0\0")]
    return joined(rng.sample(parts, len(parts)))


def chunk_renamed(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    parts[at] = (rng.choice((*NAMES, rng.randbytes(4))), parts[at][1])
    return joined(parts)


def chunk_cut(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    name, content = parts[at]
    parts[at] = (name, content[: rng.choice((0, 1, 5, 9, 10, rng.randrange(len(content) + 1)))])
    return joined(parts)


def wrong_chunk_length(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    at = rng.randrange(len(parts))
    before, after = joined(parts[:at]), joined(parts[at:])[12:]
    whole = before + after[:4] + odd(rng, 4, "little") + after[8:]
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def wrong_file_length(rng: Random, data: bytes) -> bytes:
    near = struct.pack("<I", max(0, len(data) - 8 + rng.randint(-9, 9)))
    return data[:4] + rng.choice((near, odd(rng, 4, "little"))) + data[8:]


def no_padding(rng: Random, data: bytes) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in [(b"XXXX", b"odd"), *chunks(data)]
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def odd_canvas(rng: Random, data: bytes) -> bytes:
    width, height = rng.choice(SIZES), rng.choice(SIZES)
    parts = [part for part in chunks(data) if part[0] != b"VP8X"]
    return joined([canvas(width, height, rng.getrandbits(6)), *parts])


def odd_flags(rng: Random, data: bytes) -> bytes:
    parts = [part for part in chunks(data) if part[0] != b"VP8X"]
    return joined([canvas(97, 61, rng.getrandbits(32)), *parts])


def codec_header_flipped(rng: Random, data: bytes) -> bytes:
    """The first ten bytes of either codec: sizes, partitions, whether there is alpha."""
    parts = chunks(data)
    for at, (name, content) in enumerate(parts):
        if name in CODECS:
            parts[at] = (name, flipped(rng, content[:10], 4) + content[10:])
    return joined(parts)


def codec_size_odd(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    for at, (name, content) in enumerate(parts):
        start = {b"VP8 ": 6, b"VP8L": 1}.get(name)
        if start is not None:
            size = rng.choice((odd(rng, 2), odd(rng, 4), b"\xff\x3f\xff\x3f", b"\1\0\1\0"))
            parts[at] = (name, content[:start] + size + content[start + len(size) :])
    return joined(parts)


def bitstream_flipped(rng: Random, data: bytes) -> bytes:
    parts = chunks(data)
    for at, (name, content) in enumerate(parts):
        if name in CODECS:
            parts[at] = (name, content[:10] + flipped(rng, content[10:], 40))
    return joined(parts)


def codec_prefix_flipped(rng: Random, data: bytes) -> bytes:
    """Where the lossless codec's transforms and prefix codes stand, and the lossy one's tables."""
    parts = chunks(data)
    for at, (name, content) in enumerate(parts):
        if name in CODECS:
            parts[at] = (name, content[:5] + flipped(rng, content[5:60], 10) + content[60:])
    return joined(parts)


def the_other_codec(rng: Random, data: bytes) -> bytes:
    swap = {b"VP8 ": b"VP8L", b"VP8L": b"VP8 "}
    return joined([(swap.get(name, name), content) for name, content in chunks(data)])


def both_codecs(rng: Random, data: bytes) -> bytes:
    pixels = of_the_picture(data)
    other = [(CODECS[name == b"VP8 "], content) for name, content in pixels]
    return joined([canvas(97, 61), *rng.sample([*pixels, *other], 2 * len(pixels))])


def odd_alpha(rng: Random, data: bytes) -> bytes:
    """An alpha plane of any compression and filter, too short, too long or flipped."""
    own = dict(chunks(data)).get(b"ALPH", b"\0" + bytes(97 * 61))
    plane = rng.choice((own[1:], rng.randbytes(50), b"", bytes(97 * 61 * 9)))
    alpha = (b"ALPH", bytes([rng.getrandbits(8)]) + flipped(rng, plane))
    pixels = [part for part in of_the_picture(data) if part[0] != b"ALPH"]
    return joined([canvas(97, 61, ALPHA), alpha, *pixels])


def animation(rng: Random, data: bytes) -> bytes:
    return animated(data, rng.choice((0, 1, 2, 1000)))


def odd_frames(rng: Random, data: bytes) -> bytes:
    """Frames beyond the canvas, of no size, without pixels, inside each other."""
    start: list[Chunk] = [canvas(97, 61, ANIMATION | ALPHA), (b"ANIM", bytes(6))]
    pixels = of_the_picture(data)
    inner = frame(pixels, 97, 61)
    frames = [
        frame(rng.choice((pixels, [], [inner])), rng.choice(SIZES), rng.choice(SIZES),
              rng.choice((0, 2, 96, 1 << 24)))
        for _ in range(rng.choice((1, 1, 3)))
    ]  # fmt: skip
    return joined([*start, *frames])


def one_frame_on_an_odd_canvas(rng: Random, data: bytes) -> bytes:
    width, height = rng.choice(SIZES), rng.choice(SIZES)
    start: list[Chunk] = [canvas(width, height, ANIMATION), (b"ANIM", rng.randbytes(6))]
    return joined([*start, frame(of_the_picture(data), 97, 61)])


def profile_damaged(rng: Random, data: bytes) -> bytes:
    own = dict(chunks(data)).get(b"ICCP", rng.randbytes(200))
    return extended(data, PROFILE, (b"ICCP", flipped(rng, own, 40)))


def looping_exif_chunk(rng: Random, data: bytes) -> bytes:
    start = rng.choice((b"", b"Exif\0\0"))
    return extended(data, EXIF, (b"EXIF", start + looping_exif(rng)))


def odd_xmp(rng: Random, data: bytes) -> bytes:
    deep = b"<a>" * rng.choice((1, 5000))
    entity = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    return extended(data, XMP, (b"XMP ", rng.choice((b"", deep, entity, rng.randbytes(90)))))


def announced_and_not_there(rng: Random, data: bytes) -> bytes:
    return extended(data, rng.choice((PROFILE, ALPHA, EXIF, XMP, ANIMATION, 0xFF)))


def many_small_chunks(rng: Random, data: bytes) -> bytes:
    name = rng.choice((b"XXXX", b"ALPH", b"ICCP", b"VP8X", b"\0\0\0\0"))
    parts = chunks(data)
    at = rng.randrange(len(parts) + 1)
    return joined([*parts[:at], *[(name, b"")] * rng.choice((10, 20_000)), *parts[at:]])


def riff_in_riff(rng: Random, data: bytes) -> bytes:
    return joined([(rng.choice((b"RIFF", b"LIST", b"VP8 ")), data[8:]), *chunks(data)])


KINDS: Final[tuple[Kind, ...]] = (
    chunk_flipped, chunk_removed, chunk_doubled, chunks_shuffled, chunk_renamed, chunk_cut,
    wrong_chunk_length, wrong_file_length, no_padding, odd_canvas, odd_flags, codec_header_flipped,
    codec_size_odd, bitstream_flipped, codec_prefix_flipped, the_other_codec, both_codecs,
    odd_alpha, animation, odd_frames, one_frame_on_an_odd_canvas, profile_damaged,
    looping_exif_chunk, odd_xmp, announced_and_not_there, many_small_chunks, riff_in_riff,
)  # fmt: skip
