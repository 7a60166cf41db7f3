"""Cut-outs laid over backgrounds, the trimaps a person would draw of them, and their geometry.

Alpha is straight (not premultiplied) throughout: I = alpha F + (1 - alpha) B, the "over" of Porter
and Duff 1984. Whatever mixes neighbouring pixels does so with premultiplied colours, as they show
it must: a transparent pixel's colour has no say, so no fringe appears.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]
Colours = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255

# Alpha this near to 0 or 1 is 0 or 1: half a step of eight bits.
ALPHA_STEP = 1 / 510

_BILINEAR = Image.Resampling.BILINEAR
_HAMMING = Image.Resampling.HAMMING
_COARSER = 4
_LEAST_WEIGHT = 1e-8


class CompositeError(ValueError):
    """Pictures that can't be put together. The text says what is wrong and what to do."""


@dataclass(frozen=True)
class Foreground:
    """A thing and how much of each pixel it covers.

    `pixels` float32 `[H,W,3]` RGB in 0..1, the thing's own colours also where alpha is small, and
    likely ones where it is 0; `alpha` float32 `[H,W]` in 0..1.
    """

    pixels: Colours
    alpha: Plane


def composite(
    pixels: Colours | Pixels, alpha: Plane, background: Colours | Pixels
) -> npt.NDArray[np.float32]:
    """Lay colours over a background: I = alpha F + (1 - alpha) B, float32 `[H,W,3]` in 0..1.

    Colours `[H,W,3]` are float in 0..1 or uint8; alpha is float `[H,W]` in 0..1. Raises
    `CompositeError` where sizes differ.
    """
    if not pixels.shape[:2] == alpha.shape == background.shape[:2]:
        raise CompositeError(
            f"foreground {pixels.shape[:2]}, alpha {alpha.shape} and background "
            f"{background.shape[:2]} differ in size: cut or scale them to one size."
        )
    share = alpha[..., None].astype(np.float32)
    return share * _as_float(pixels) + (1 - share) * _as_float(background)


def foreground_of(rgba: Pixels) -> Foreground:
    """The foreground of a cut-out, uint8 `[H,W,4]`, with likely colours where it is clear."""
    extended = extended_colours(rgba)
    return Foreground(_as_float(extended[..., :3]), _as_float(rgba[..., 3]))


def extended_colours(rgba: Pixels) -> Pixels:
    """The cut-out with the colours near by wherever alpha is 0; the rest is unchanged, to the bit.

    uint8 `[H,W,4]` to the same. Cut-outs hold anything at all where they are clear, and scaling or
    changing colours would pull that in.
    """
    alpha = _as_float(rgba[..., 3])
    likely = likely_colours(_as_float(rgba[..., :3]) * alpha[..., None], alpha)
    result = rgba.copy()
    result[..., :3] = np.where(alpha[..., None] > 0, rgba[..., :3], np.rint(likely * 255))
    return result


def likely_colours(premultiplied: Colours, alpha: Plane) -> Colours:
    """A smooth picture of the colours known near by, for where there are none.

    float32 `[H,W,3]` of alpha times colour and `[H,W]` of alpha to `[H,W,3]`; black where nothing
    at all is known. Worked at a quarter of the size, which nobody sees in what is clear.
    """
    height, width = alpha.shape
    packed = np.concatenate([premultiplied, alpha[..., None]], 2)
    small = _each_plane(packed, lambda plane: np.asarray(Image.fromarray(plane).reduce(_COARSER)))

    def enlarge(plane: Plane) -> Plane:
        return np.asarray(Image.fromarray(plane).resize((width, height), _BILINEAR))

    return _each_plane(_filled(small * _COARSER**2), enlarge)


def trimap_of(rng: np.random.Generator, alpha: Plane, *, least_px: int, most_px: int) -> Pixels:
    """Draw a person's trimap: uint8 `[H,W]`, 0 background, 128 unknown, 255 foreground.

    What is wholly foreground and wholly background is each eroded by its own number of pixels,
    uniform in `least_px`..`most_px` (Xu et al. 2017, section 4, dilate the unknown likewise).
    Never wrong: 0 only where alpha is 0, 255 only where it is 1. Raises `CompositeError` unless
    0 <= `least_px` <= `most_px`.
    """
    if not 0 <= least_px <= most_px:
        raise CompositeError(
            f"a band of {least_px} to {most_px} px can't be drawn: use 0 <= least_px <= most_px."
        )
    inside, outside = rng.integers(least_px, most_px + 1, 2)
    trimap = np.full(alpha.shape, UNKNOWN, np.uint8)
    trimap[~_dilated(alpha < 1, int(inside))] = FOREGROUND
    trimap[~_dilated(alpha > 0, int(outside))] = BACKGROUND
    return trimap


def settled(alpha: Plane) -> Plane:
    """Alpha with what eight bits can't tell from 0 or 1 made so, so that known regions exist."""
    nearly = np.where(alpha < ALPHA_STEP, 0, np.where(alpha > 1 - ALPHA_STEP, 1, alpha))
    return nearly.astype(np.float32)


def from_premultiplied(premultiplied: Colours, alpha: Plane) -> Foreground:
    """The foreground of alpha times colour `[H,W,3]` and alpha `[H,W]`, which is settled."""
    made = settled(np.clip(alpha, 0, 1))
    # By alpha as it came: settled, it would no longer fit the colours that were summed with it.
    pixels = premultiplied / np.maximum(alpha, ALPHA_STEP)[..., None]
    pixels = np.where(made[..., None] > 0, pixels, likely_colours(premultiplied, alpha))
    return Foreground(np.clip(pixels, 0, 1, dtype=np.float32), made)


def scaled(foreground: Foreground, height: int, width: int) -> Foreground:
    """The foreground at another size, antialiased, without fringes."""

    def scale(plane: Plane) -> Plane:
        # Hamming is sharp without negative lobes, which would make alpha overshoot.
        return np.asarray(Image.fromarray(plane).resize((width, height), _HAMMING))

    return _mixed(foreground, scale)


def rotated(foreground: Foreground, degrees: float) -> Foreground:
    """The foreground turned anticlockwise, on a canvas large enough to hold all of it."""
    height, width = foreground.alpha.shape
    # One pixel around, so that the canvas's own edge is turned as softly as any other.
    padded = placed(foreground, height + 2, width + 2, 1, 1)

    def turn(plane: Plane) -> Plane:
        return np.asarray(Image.fromarray(plane).rotate(degrees, _BILINEAR, expand=True))

    return _mixed(padded, turn)


def mirrored(foreground: Foreground) -> Foreground:
    """The foreground with left and right exchanged."""
    return Foreground(
        np.ascontiguousarray(foreground.pixels[:, ::-1]),
        np.ascontiguousarray(foreground.alpha[:, ::-1]),
    )


def placed(foreground: Foreground, height: int, width: int, top: int, left: int) -> Foreground:
    """The foreground on a canvas, its corner at row `top` and column `left`, negative ones too.

    What lies outside the canvas is cut off; around the foreground alpha is 0.
    """
    rows, columns = np.arange(height) - top, np.arange(width) - left
    own = foreground.alpha.shape
    y, x = np.clip(rows, 0, own[0] - 1), np.clip(columns, 0, own[1] - 1)
    there = np.outer((rows >= 0) & (rows < own[0]), (columns >= 0) & (columns < own[1]))
    alpha = np.where(there, foreground.alpha[np.ix_(y, x)], 0).astype(np.float32)
    return Foreground(foreground.pixels[np.ix_(y, x)], alpha)


def _mixed(foreground: Foreground, mix: Callable[[Plane], Plane]) -> Foreground:
    """The foreground with neighbours mixed by `mix`, a linear filter of one plane."""
    premultiplied = foreground.pixels * foreground.alpha[..., None]
    return from_premultiplied(_each_plane(premultiplied, mix), mix(foreground.alpha))


def _each_plane(planes: Colours, change: Callable[[Plane], Plane]) -> Colours:
    """`[H,W,C]` with `change` done to each plane by itself."""
    planes = np.moveaxis(planes, 2, 0)
    return np.stack([change(np.ascontiguousarray(plane)) for plane in planes], 2)


def _as_float(values: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> Colours:
    """uint8 as float32 in 0..1; floats as they are."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / np.float32(255)
    return values.astype(np.float32, copy=False)


def _filled(packed: Colours) -> Colours:
    """The colours of `[H,W,4]`, weight times colour and weight; holes get those around.

    Push and pull on a pyramid (Gortler et al. 1996, The Lumigraph): averages of known colours come
    down to one pixel, and going up each level covers what the next coarser one says as far as its
    own weight, at most 1, reaches.
    """
    weight = packed[..., 3:]
    own = np.asarray(packed[..., :3] / np.maximum(weight, _LEAST_WEIGHT), np.float32)
    if packed.size == 4:
        return own
    # Sums, not means, so that a small known spot holds its own when seen from afar.
    around = _doubled(_filled(4 * _halved(packed)), packed.shape[:2])
    share: Colours = np.minimum(weight, 1)
    filled: Colours = own * share + around * (1 - share)
    return filled


def _halved(planes: Colours) -> Colours:
    """Means of 2 x 2 pixels of `[H,W,C]`; an odd last row or column counts twice."""
    height, width = planes.shape[:2]
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rows = planes[::2] + planes[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) * np.float32(0.25)


def _doubled(planes: Colours, shape: tuple[int, ...]) -> Colours:
    """`[H,W,C]` at twice the size by linear interpolation, cut to `shape`."""
    for _ in range(2):
        # Along the rows, then turned: after both turns it stands as it stood.
        size = len(planes)
        around = np.concatenate([planes[:1], planes, planes[-1:]])
        doubled = np.empty((2 * size, *planes.shape[1:]), np.float32)
        np.add(0.75 * planes, 0.25 * around[:size], out=doubled[::2])
        np.add(0.75 * planes, 0.25 * around[2:], out=doubled[1::2])
        planes = doubled.swapaxes(0, 1)
    return planes[: shape[0], : shape[1]]


def _dilated(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    """True within about `pixels` of what is true: crosses and squares in turn make an octagon."""
    for number in range(pixels):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        # A square is a row of a column; a cross is a row beside a column.
        rows = grown.copy() if number % 2 else mask
        grown[:, 1:] |= rows[:, :-1]
        grown[:, :-1] |= rows[:, 1:]
        mask = grown
    return mask
