"""Decoding by Pillow: pictures of 8 bits a channel or fewer, and masks and trimaps of any depth.

What comes out is a Pillow image, loaded and upright, and `in_strips` makes an array of one.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from daemon.reasons import Trouble
from daemon.worker import excess, signatures
from daemon.worker.pictures import gates
from daemon.worker.pictures.keepsakes import TURNS, orientation_of
from daemon.worker.protocol import Input

# The only decoders that strangers' files may reach. JPEG brings MPO, the two-view JPEG of phones.
FORMATS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")

# What Pillow's grey modes must have in a BMP to be read right.
_BMP_GREY_BITS: Final = {"1": 1, "L": 8}

# TIFF compressions that lose, as Pillow names them.
_LOSSY_COMPRESSIONS: Final = ("jpeg", "tiff_jpeg", "webp")

_STRIP_ROWS: Final = 64


@dataclass(frozen=True)
class Decoded:
    """A loaded image, upright, and what only the file could tell.

    `orientation` is what the file said of its stored pixels, which had `stored_size`. `depth` names
    more than 8 bits a channel, also where Pillow reads 8 of them silently.
    """

    image: Image.Image
    stored_size: tuple[int, int]
    orientation: int
    read: Input
    depth: str | None
    is_lossy: bool


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The stored image of an EXIF orientation, upright."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def in_strips(
    image: Image.Image, shape: tuple[int, ...], dtype: Any, of: Callable[[Image.Image], Any]
) -> NDArray[Any]:
    """An array of this shape that holds what `of` makes of the image, strip by strip.

    Made an array of whole, an image is in memory thrice for a moment.
    """
    made: NDArray[Any] = np.empty(shape, dtype)
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, image.height)
        strip = of(image.crop((0, top, image.width, bottom)))
        made[top:bottom] = strip
    return made


def decode_checked(data: bytes, kind: str, role: str, max_pixels: int) -> Decoded:
    """Load a file of this kind. Raises `Trouble`, and what Pillow raises of a damaged file."""
    canvas = excess.webp_canvas(data) if kind == "WEBP" else None
    if canvas:
        gates.refuse_size(canvas, role, max_pixels)
    if kind == "TIFF":
        gates.refuse_claims(data, role)
    image = _opened(data, kind, role)
    form = image.format or kind
    gates.refuse_size(image.size, role, max_pixels)
    gates.refuse_excess(data, kind, image.size, role)
    pages = excess.tiff_pages(data) if kind == "TIFF" else getattr(image, "n_frames", 1)
    if form != "MPO":  # a phone's JPEG with a second view inside
        gates.refuse_pages(pages, role)
    if form == "BMP" and signatures.bmp_bits(data) != _BMP_GREY_BITS.get(
        image.mode, signatures.bmp_bits(data)
    ):
        # Pillow reads these as if their pixels had as few bits as their palette has colours.
        raise Trouble("colour_space", role=role, mode="BMP with a palette of few greys")
    depth = _depth(image, data)
    is_lossy = _is_lossy(image, data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if image.tag_v2.get(TiffImagePlugin.COMPRESSION, 1) != 1:
            gates.refuse_unwritten(data, role)
        _refuse_deep_planes(image, role)
        orientation = orientation_of(image)  # Pillow turns a TIFF upright, and forgets that it did
        image.load()
        upright: Image.Image = image
    else:
        image.load()
        orientation = orientation_of(image)
        _scale_transparent_grey(image, data)
        upright = turned(image, orientation)
    width, height = upright.size
    read = Input(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=width,
        height=height,
        mode=image.mode,
        format=form,
    )
    stored_size = (height, width) if orientation >= 5 else (width, height)
    return Decoded(upright, stored_size, orientation, read, depth, is_lossy)


def _opened(data: bytes, kind: str, role: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if kind == "TIFF":
            _refuse_unknown_depth(data, role)
        raise


def _refuse_unknown_depth(data: bytes, role: str) -> None:
    """Tell a TIFF of a depth that Pillow does not know, such as doubles, from a damaged one."""
    file = io.BytesIO(data)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if bits > 8:
        raise Trouble("colour_space", role=role, mode=f"TIFF of {bits} bits a channel")


def _refuse_deep_planes(image: TiffImagePlugin.TiffImageFile, role: str) -> None:
    """Pillow reads uncompressed planes of more than 8 bits as if they had 8: nonsense."""
    bits = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    is_planar = image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2
    if role != "picture" and is_planar and bits > 8 and image.mode not in ("I;16", "I;16B", "F"):
        raise Trouble("colour_space", role=role, mode=f"separate planes of {bits} bits")


def _depth(image: Image.Image, data: bytes) -> str | None:
    """A name for more than 8 bits a channel, or None."""
    bits = 8
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    elif image.format == "PNG":
        bits = signatures.png_bits(data)
    if bits > 8 or image.mode.startswith(("I", "F")):
        return f"{image.mode}, {max(bits, 16)} bits"
    return None


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    if image.format in ("JPEG", "MPO"):
        return True
    if image.format == "WEBP":
        return signatures.webp_is_lossy(data)
    return image.info.get("compression") in _LOSSY_COMPRESSIONS


def _scale_transparent_grey(image: Image.Image, data: bytes) -> None:
    """Pillow spreads the greys of a 1, 2 or 4 bit PNG to 0 to 255, but not the transparent one.

    Older versions leave that of 1 bit as it is, newer ones spread it.
    """
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode in ("1", "L") and isinstance(key, int):
        image.info["transparency"] = min(255, key * 255 // (2 ** signatures.png_bits(data) - 1))
