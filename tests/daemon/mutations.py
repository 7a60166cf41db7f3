"""30 and more kinds of malformed picture for each format, each made again from its name alone.

A spoiled file is `FORMAT/kind/seed`: the seed picks the valid file it is made of, and what is
spoiled where. The failure of a test names it, and `python tests/daemon/fuzz.py NAME` makes it
again.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple

import mutations_any
import mutations_bmp
import mutations_jpeg
import mutations_png
import mutations_tiff
import mutations_webp
import samples
from mutations_any import Kind
from PIL import Image


def _named(*tables: tuple[Kind, ...]) -> dict[str, Kind]:
    return {kind.__name__: kind for table in tables for kind in table}


def body_under_this_head(rng: Random, data: bytes) -> bytes:
    """The head of one format on the body of another."""
    other = _valid(rng.choice(sorted(KINDS)), rng)
    at = rng.choice((8, 12, 32, mutations_any.HEADER_BYTES, 200))
    return data[:at] + other[at:]


def another_picture_behind(rng: Random, data: bytes) -> bytes:
    return data + _valid(rng.choice(sorted(KINDS)), rng)


_ANY: Final = (*mutations_any.KINDS, body_under_this_head, another_picture_behind)

KINDS: Final = {
    "JPEG": _named(_ANY, mutations_jpeg.KINDS),
    "PNG": _named(_ANY, mutations_png.KINDS),
    "TIFF": _named(_ANY, mutations_tiff.KINDS),
    "WEBP": _named(_ANY, mutations_webp.KINDS),
    "BMP": _named(_ANY, mutations_bmp.KINDS),
}
ROLES: Final = ("picture", "mask", "trimap")


class Malformed(NamedTuple):
    """The name of a spoiled file."""

    form: str
    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.form}/{self.kind}/{self.seed}"

    @classmethod
    def named(cls, name: str) -> "Malformed":
        """The other way round. Raises `ValueError`."""
        form, kind, seed = name.split("/")
        return cls(form, kind, int(seed))

    @property
    def role(self) -> str:
        """What it is read as: two of four are pictures."""
        return ("picture", "mask", "picture", "trimap")[self.seed % 4]

    def make(self) -> bytes:
        """The file."""
        rng = Random(str(self))
        return KINDS[self.form][self.kind](rng, _valid(self.form, rng))


def every_kind(seeds: range) -> list[Malformed]:
    """Each kind of each format with each of these seeds, the seeds outermost."""
    return [
        Malformed(form, kind, seed) for seed in seeds for form, kinds in KINDS.items()
        for kind in kinds
    ]  # fmt: skip


def _valid(form: str, rng: Random) -> bytes:
    return rng.choice(valid_files(form))()


@lru_cache
def valid_files(form: str) -> tuple[Callable[[], bytes], ...]:
    """Makers of valid files of a format: each mode that people have, and some with metadata."""
    pillow_name = {"JPEG": ("JPEG", "MPO")}.get(form, (form,))
    names = [name for name, row in samples.FORMATS_AND_MODES.items() if row[0] in pillow_name]
    makers: list[Callable[[], bytes]] = [_sample(name) for name in names]
    deep = [name for name, row in samples.DEEP.items() if row[0] == form]
    # Tags are spoiled in the little-endian classic form, which is what most writers write.
    makers += [_deep(n) for n in deep if samples.deep_sample(n)[:4] not in (b"MM\0*", b"II+\0")]
    if form != "BMP":
        makers.append(lambda: _adorned(form))
    if form == "JPEG":
        makers.append(_inked)
    return tuple(makers)


def _sample(name: str) -> Callable[[], bytes]:
    return lambda: samples.sample(name)


def _deep(name: str) -> Callable[[], bytes]:
    return lambda: samples.deep_sample(name)


@lru_cache
def _adorned(form: str) -> bytes:
    """A picture with a profile, EXIF and a resolution."""
    exif = Image.Exif()
    exif[samples.ORIENTATION] = 6
    profile = _dateless(samples.colour_profile("RGB"))
    return samples.encoded(samples.photo(), form, exif=exif, icc_profile=profile, dpi=(72, 72))


@lru_cache
def _inked() -> bytes:
    """A CMYK picture with a profile that converts it."""
    return samples.encoded(samples.in_mode("CMYK"), "JPEG", icc_profile=ink_profile())


def _dateless(profile: bytes) -> bytes:
    """A profile without the time at which it was made (ICC.1:2010, 7.2): the same in each run."""
    return profile[:24] + bytes(12) + profile[36:]


def ink_profile() -> bytes:
    """A printer's ICC profile, CMYK to Lab by a table of two steps a colour (lut8Type, 10.9)."""
    identity = b"".join(struct.pack(">i", 65536 * (at % 4 == 0)) for at in range(9))
    steps = bytes(range(256))
    corners = b"".join(
        bytes([255 * (4 - bin(corner).count("1")) // 4, 128, 128]) for corner in range(16)
    )
    table = b"mft1\0\0\0\0\4\3\2\0" + identity + steps * 4 + corners + steps * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    text = b"text\0\0\0\0none\0\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(79)
    tags = [(b"desc", name), (b"cprt", text), (b"wtpt", white), (b"A2B0", table)]
    at, index, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags:
        content += bytes(-len(content) % 4)
        index += tag + struct.pack(">II", at + len(body), len(content))
        body += content
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s", size, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ",
                       bytes(12), b"acsp").ljust(68, b"\0")  # fmt: skip
    return (head + struct.pack(">iii", 63190, 65536, 54061)).ljust(128, b"\0") + index + body
