"""The colours of what was cut out, without the background that shone through.

Both sides' colours are estimated in a small picture, and looked up there for the large one. Where
alpha is in between they are mended pixel by pixel, so that mixed by alpha they give the photo.

PyMatting compiles itself when it is imported, and keeps what it compiled on the disk: what lies
there is code. A confined worker can't write there, so it is compiled by this module as a program,
in a process that sees no picture and is not confined: `python -m daemon.worker.foreground`.
"""

import warnings
from collections.abc import Iterator
from math import ceil, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from daemon.worker.scaling import scaled_up

Pixels = NDArray[np.uint8]
Colours = NDArray[np.float32]
Box = tuple[slice, slice]

# What PyMatting is given at once; it takes some 100 bytes for each pixel.
MOST_ESTIMATED: Final = 1_000_000
# A large picture is gone through in squares of this side, which bounds the memory.
_SQUARE: Final = 256
# Colours that were looked up are smoothed this often over so many pixels to each side. Of 0 to 2
# times over 1, 2 and 4 pixels, none was nearer to the true colours of all of six composites.
_ROUNDS: Final = 2
_RADIUS: Final = 2
# A side that is nowhere near still has its own colour.
_SLIGHT: Final = 1e-4

# numba tells everybody that a confined process has no semaphores; one process needs none.
warnings.filterwarnings("ignore", message="Could not obtain multiprocessing lock")


def estimate_foreground(picture: Pixels, alpha: Pixels) -> Pixels:
    """Foreground colours `[H,W,3]` behind a matte `[H,W]`; the picture's own where it is opaque.

    Where alpha is 0 they go on smoothly, and nothing of the background is in them. By PyMatting's
    multi-level estimation (Germer et al. 2020, arXiv 2006.14970), in a picture scaled down to
    `MOST_ESTIMATED` pixels at most; see `_mended` for what is done to a larger one. Beside the
    result it takes some 60 MB, for 12 megapixels as for 54.
    """
    if alpha.size == 1:  # no neighbour to estimate from
        return picture
    factor = ceil(sqrt(alpha.size / MOST_ESTIMATED))
    sides = _estimated(_averages(picture, factor), _averages(alpha, factor))
    colours = picture.copy()
    for box in _squares(alpha.shape):
        seen = alpha[box]
        if (seen == 255).all():
            continue
        if ((seen > 0) & (seen < 255)).any() and factor > 1:
            made = _mended_in(box, sides, factor, picture, alpha)
        else:
            made = _enlarged(sides[0], factor, box)
        np.copyto(colours[box], _levels(made), where=(seen != 255)[..., None])
    return colours


def _mended_in(
    box: Box, sides: tuple[Colours, Colours], factor: int, picture: Pixels, alpha: Pixels
) -> Colours:
    """The foreground in a part of the picture; it is the same in whatever part a pixel lies."""
    reach = _ROUNDS * _RADIUS
    around, inside = [], []
    for side, size in zip(box, alpha.shape, strict=True):
        start = max(0, side.start - reach)
        around.append(slice(start, min(size, side.stop + reach)))
        inside.append(slice(side.start - start, side.stop - start))
    part = (around[0], around[1])
    foreground, background = (_enlarged(colours, factor, part) for colours in sides)
    photo, share = _unit(picture[part]), _unit(alpha[part])[..., None]
    return _mended(foreground, background, photo, share)[inside[0], inside[1]]


def _mended(foreground: Colours, background: Colours, photo: Colours, share: Colours) -> Colours:
    """Foreground colours that fit a photo I: I = a F + (1 - a) B, where a is the `share`.

    By turns both sides' colours are corrected, as little as makes them fit, and smoothed, by the
    squares of their shares, so that they are taken from where a side shows. What they miss is
    r = I - a F - (1 - a) B, and the least correction of F is r a / (a^2 + (1 - a)^2).
    """
    rest = 1 - share
    squares = share**2, rest**2
    gains = share / (squares[0] + squares[1]), rest / (squares[0] + squares[1])
    for turn in range(_ROUNDS + 1):
        if turn:
            foreground = _smoothed(foreground, squares[0])
            background = _smoothed(background, squares[1])
        missed = photo - share * foreground - rest * background
        foreground = (foreground + missed * gains[0]).clip(0, 1)
        background = (background + missed * gains[1]).clip(0, 1)
    return foreground


def _smoothed(colours: Colours, weight: Colours) -> Colours:
    weight = weight + np.float32(_SLIGHT)
    size = (2 * _RADIUS + 1, 2 * _RADIUS + 1, 1)
    smoothed: Colours = ndimage.uniform_filter(colours * weight, size)
    smoothed /= ndimage.uniform_filter(weight, size)
    return smoothed


def _squares(shape: tuple[int, ...]) -> Iterator[Box]:
    for top in range(0, shape[0], _SQUARE):
        for left in range(0, shape[1], _SQUARE):
            yield (
                slice(top, min(top + _SQUARE, shape[0])),
                slice(left, min(left + _SQUARE, shape[1])),
            )


def _enlarged(small: Colours, factor: int, box: Box) -> Colours:
    """A part of the large picture's colours, by those of the small one."""
    if factor == 1:
        return small[box]
    size = (small.shape[0] * factor, small.shape[1] * factor)
    return scaled_up(small, size, *box).clip(0, 1)


def _estimated(picture: Colours, alpha: Colours) -> tuple[Colours, Colours]:
    """Both sides' colours `[h,w,3]` in 0..1, from 0..1."""
    # Imported here: it compiles itself, and who only fills holes should not wait for it.
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

    foreground, background = estimate_foreground_ml(picture, alpha, return_background=True)
    return foreground, background


def _averages(picture: Pixels, factor: int) -> Colours:
    """Averages over squares of a picture `[H,W,...]`, in 0..1; the last ones go on as they end."""
    right = -picture.shape[1] % factor
    rows = []
    for top in range(0, len(picture), factor * 64):
        part = picture[top : top + factor * 64]
        if len(part) % factor or right:
            missing = ((0, -len(part) % factor), (0, right), *[(0, 0)] * (picture.ndim - 2))
            part = np.pad(part, missing, mode="edge")
        height, width = len(part) // factor, part.shape[1] // factor
        sums = part.reshape(height, factor, *part.shape[1:]).sum(axis=1, dtype=np.uint32)
        rows.append(sums.reshape(height, width, factor, *part.shape[2:]).sum(axis=2))
    return np.concatenate(rows).astype(np.float32) / np.float32(255 * factor**2)


def _unit(levels: Pixels) -> Colours:
    return levels.astype(np.float32) / np.float32(255)


def _levels(colours: Colours) -> Pixels:
    return np.rint(colours * 255).clip(0, 255).astype(np.uint8)


def compile_it() -> None:
    """Have everything compiled that an estimation needs; quick where it was before."""
    estimate_foreground(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))


if __name__ == "__main__":
    compile_it()
