"""Masks and trimaps: which pixels are meant, and whether they fit their picture.

`pictures` decodes them. Arrays are uint8 `[H,W]`, in the picture's upright size.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from daemon.reasons import Trouble
from daemon.worker.pictures import (
    Decoded,
    Picture,
    Pixels,
    colours,
    damage_is_trouble,
    decode,
    in_strips,
    turned,
)
from daemon.worker.protocol import Input

# A lossless mask means every value it holds; a lossy one is blurred by its compression, and what
# is above zero there is twice the hole that was drawn.
LOSSY_MASK_THRESHOLD: Final = 127
# A lossy trimap's values spread around 0, 128 and 255; these lie a third of the way to the middle.
LOSSY_TRIMAP_BACKGROUND: Final = 42
LOSSY_TRIMAP_FOREGROUND: Final = 213

Values = NDArray[np.uint8] | NDArray[np.uint16]

WHITE_8_BITS: Final = 255
WHITE_16_BITS: Final = 65535


@dataclass(frozen=True)
class Companion:
    """A mask (0 keep, 255 hole) or a trimap (0, 128, 255), `[H,W]`, fitted to its picture."""

    values: Pixels
    read: Input
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What a rough mask marks, and where it is grey; both `[H,W]`, fitted to their picture."""

    marked: NDArray[np.bool_]
    soft: NDArray[np.bool_]
    read: Input


def read_mask(data: bytes, picture: Picture, max_pixels: int) -> Companion:
    """Decode a mask: white is the hole.

    Lossless files: above 0 is hole. Lossy files: above 127. Raises `Trouble`.
    """
    decoded = decode(data, "mask", max_pixels)
    values, white = _values(decoded, "mask", picture)
    hole = _marked(values, white, decoded.is_lossy)
    if hole.all():
        raise Trouble("mask_covers_everything")
    notes = () if hole.any() else ("the mask marks nothing, so the picture is unchanged",)
    mask = hole.view(np.uint8)
    mask *= 255
    return Companion(mask, decoded.read, notes)


def read_subject(data: bytes, picture: Picture, max_pixels: int) -> Subject:
    """Decode a mask from which a trimap is to be made: what is hole elsewhere is the subject here.

    Grey is soft: between black and the brightest value that the mask holds, so that a dark label
    colour counts in full. In lossy files the bounds are those of a lossy trimap. On return some
    pixel is surely the subject and some surely not. Raises `Trouble`.
    """
    decoded = decode(data, "mask", max_pixels)
    values, white = _values(decoded, "mask", picture)
    marked = _marked(values, white, decoded.is_lossy)
    brightest = int(values.max())
    low, high = 0, brightest
    if decoded.is_lossy:
        low = LOSSY_TRIMAP_BACKGROUND * (white // 255)
        high = brightest * LOSSY_TRIMAP_FOREGROUND // 255
    soft = (values > low) & (values < high)
    if not marked.any():
        raise Trouble("mask_without_edge", shade="white")
    if (marked | soft).all():
        raise Trouble("mask_without_edge", shade="black")
    return Subject(marked, soft, decoded.read)


def read_trimap(data: bytes, picture: Picture, max_pixels: int) -> Companion:
    """Decode a trimap: black is background, white foreground, everything between is unknown.

    In lossy files 0 to 42 counts as black and 213 to 255 as white. Raises `Trouble`.
    """
    decoded = decode(data, "trimap", max_pixels)
    values, white = _values(decoded, "trimap", picture)
    lossy = (LOSSY_TRIMAP_BACKGROUND, LOSSY_TRIMAP_FOREGROUND)
    low, high = lossy if decoded.is_lossy else (0, 255)
    trimap = np.full(values.shape, 128, np.uint8)
    trimap[values <= low * (white // 255)] = 0
    trimap[values >= high * (white // 255)] = 255
    notes = () if (trimap == 128).any() else ("the trimap has no unknown band",)
    return Companion(trimap, decoded.read, notes)


def _marked(values: Values, white: int, is_lossy: bool) -> NDArray[np.bool_]:
    """What a mask marks: above 0 where it is lossless, above 127 of 255 where it is lossy."""
    return values > (LOSSY_MASK_THRESHOLD * (white // 255) if is_lossy else 0)


def _values(decoded: Decoded, role: str, picture: Picture) -> tuple[Values, int]:
    """Values `[H,W]` from 0 to white, in the picture's upright size, and what white is."""
    image = decoded.image
    if decoded.orientation == 1 and image.size == picture.stored_size != picture.size:
        # Drawn on the stored picture, before it was turned upright.
        image = turned(image, picture.orientation)
    if image.size != picture.size:
        raise Trouble(
            "size_mismatch",
            role=role,
            picture_width=picture.size[0],
            picture_height=picture.size[1],
            companion_width=image.size[0],
            companion_height=image.size[1],
        )
    shape = (image.height, image.width)
    if image.mode.startswith("I"):
        return in_strips(image, shape, np.uint16, _deep_greys), WHITE_16_BITS
    if image.mode == "F":
        raise Trouble("colour_space", role=role, mode="floating point")
    with damage_is_trouble(role, decoded.read.format):
        return in_strips(image, shape, np.uint8, partial(_brightest, role=role)), WHITE_8_BITS


def _deep_greys(image: Any) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64).clip(0, WHITE_16_BITS)


def _brightest(image: Any, role: str) -> NDArray[Any]:
    """The brightest channel, so that a saturated colour counts in full, times the opacity.

    Rounded up: what is not quite black and not quite transparent is not zero.
    """
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.asarray(image.convert("L"))
    rgba: NDArray[np.uint16]
    rgba = np.asarray(colours(image, role).convert("RGBA")).astype(np.uint16)
    brightest: NDArray[np.uint16] = rgba[..., :3].max(axis=2)
    return (brightest * rgba[..., 3] + 254) // 255
