"""Ways to spoil any file: what transfers, disks and attackers do without knowing the format.

A kind is a function of a random source and a valid file; it returns the spoiled one.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Final

Kind = Callable[[Random, bytes], bytes]

# What integer fields hold where a check was forgotten.
ODD_INTEGERS: Final = (
    0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0xFFFFFF,
    0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF,
)  # fmt: skip
HEADER_BYTES: Final = 64

SIGNATURES: Final = (
    b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0", b"RIFF\x40\0\0\0WEBP", b"BM", b"GIF89a", b"8BPS\0\1", b"\0\0\0\x0cjP  ",
    b"\0\0\0\x1cftypavif", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6", b"\0\0\1\0", b"P6\n",
)  # fmt: skip

DOCUMENTS: Final = (
    b"%PDF-1.7\n1 0 obj\n<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>\nendobj\n%%EOF\n",
    b"<!doctype html><script>alert(1)</script>\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>\n",
    b"/*<script>*/alert(1)//\n",
    b"%!PS\n(/etc/passwd) (r) file\n",
    b"#!/bin/sh\ntouch hacked\n",
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>\n',
)


def odd(rng: Random, size: int, order: str = "big") -> bytes:
    """An unlikely integer of so many bytes."""
    value = rng.choice((*ODD_INTEGERS, rng.getrandbits(8 * size))) % (1 << 8 * size)
    return value.to_bytes(size, "big" if order == "big" else "little")


def put(data: bytes, at: int, what: bytes) -> bytes:
    """The bytes with some replaced; the length stays."""
    return (data[:at] + what + data[at + len(what) :])[: len(data)]


def flipped(rng: Random, data: bytes, most: int = 16) -> bytes:
    """The bytes with one or some bits turned; empty stays empty."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def span(rng: Random, data: bytes) -> tuple[int, int]:
    """Start and end of a piece, short ones as likely as long ones."""
    start = rng.randrange(len(data))
    return start, min(len(data), start + int(2 ** rng.uniform(0, len(data).bit_length())))


def zeros(size: int) -> bytes:
    """A zlib stream of so many zeros, a thousandth of their length and quickly made (RFC 1950)."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(size % (1 << 20))) + packer.flush()
    check = struct.pack(">HH", size % 65521, 1)
    return b"\x78\xda" + block * (size >> 20) + rest + check


def in_the_header(rng: Random, data: bytes) -> bytes:
    return flipped(rng, data[:HEADER_BYTES]) + data[HEADER_BYTES:]


def bits_flipped(rng: Random, data: bytes) -> bytes:
    return flipped(rng, data, 64)


def zero_run(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + bytes(end - start) + data[end:]


def ff_run(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + b"\xff" * (end - start) + data[end:]


def random_run(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def cut_off(rng: Random, data: bytes) -> bytes:
    """Each length is as likely as any other, in the header too."""
    return data[: rng.choice((rng.randrange(len(data)), rng.randrange(HEADER_BYTES)))]


def cut_off_at_full_size(rng: Random, data: bytes) -> bytes:
    """As an uploader leaves it that makes a file at its final size and then breaks off."""
    return data[: rng.randrange(len(data))].ljust(len(data), b"\0")


def piece_removed(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + data[end:]


def piece_doubled(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:end] + data[start:]


def piece_repeated(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + data[start:end] * rng.randint(2, 50) + data[end:]


def pieces_swapped(rng: Random, data: bytes) -> bytes:
    a, b, c = sorted(rng.randrange(len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def backwards(rng: Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + data[start:end][::-1] + data[end:]


def garbage_behind(rng: Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.randint(1, 100_000))


def garbage_before(rng: Random, data: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 1000)) + data


def glued_to_itself(rng: Random, data: bytes) -> bytes:
    return data * rng.randint(2, 5)


def odd_integers(rng: Random, data: bytes) -> bytes:
    """Fields of one, two, four or eight bytes hold odd integers, mostly near the start."""
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((1, 2, 4, 8))
        at = rng.randrange(rng.choice((HEADER_BYTES, 1024, len(data))))
        data = put(data, at, odd(rng, size, rng.choice(("big", "little"))))
    return data


def under_another_signature(rng: Random, data: bytes) -> bytes:
    return put(data, 0, rng.choice(SIGNATURES))


def behind_another_signature(rng: Random, data: bytes) -> bytes:
    return rng.choice(SIGNATURES) + data


def zip_behind(rng: Random, data: bytes) -> bytes:
    return data + _archive(rng)


def zip_before(rng: Random, data: bytes) -> bytes:
    return _archive(rng) + data


def _archive(rng: Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("../../evil.sh", (1980, 1, 1, 0, 0, 0))
        archive.writestr(member, rng.choice(DOCUMENTS))
    return out.getvalue()


def document_behind(rng: Random, data: bytes) -> bytes:
    return data + rng.choice(DOCUMENTS)


def document_before(rng: Random, data: bytes) -> bytes:
    return rng.choice(DOCUMENTS) + data


def document_inside(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice(DOCUMENTS) + data[at:]


def sent_as_text(rng: Random, data: bytes) -> bytes:
    """Line ends translated, as FTP does in ASCII mode."""
    return data.replace(*rng.choice(((b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"\r", b"\n"))))


def sent_in_seven_bits(rng: Random, data: bytes) -> bytes:
    start = rng.choice((0, HEADER_BYTES))
    return data[:start] + bytes(byte & 0x7F for byte in data[start:])


def taken_for_latin_1(rng: Random, data: bytes) -> bytes:
    start = rng.choice((0, HEADER_BYTES))
    return data[:start] + data[start:].decode("latin-1").encode()


KINDS: Final[tuple[Kind, ...]] = (
    bits_flipped, in_the_header, zero_run, ff_run, random_run, cut_off, cut_off_at_full_size,
    piece_removed, piece_doubled, piece_repeated, pieces_swapped, backwards, garbage_behind,
    garbage_before, glued_to_itself, odd_integers, under_another_signature,
    behind_another_signature, zip_behind, zip_before, document_behind, document_before,
    document_inside, sent_as_text, sent_in_seven_bits, taken_for_latin_1,
)  # fmt: skip
