"""Decide a trimap's unknown band in overlapping windows, at full resolution, blended.

Windows lie where something is unknown, and are as large as memory allows: what surrounds a pixel
tells what its foreground and background look like. Where windows overlap, one fades into the
other, with weights that sum to 1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isqrt, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.worker.scaling import known_scaled_down, plane_scaled_down, scaled_up

Pixels = NDArray[np.uint8]
Weights = NDArray[np.float32]
Box = tuple[slice, slice]
# A picture `[h,w,3]` and its trimap `[h,w]` to alpha `[h,w]`.
Cut = Callable[[Pixels, Pixels], Pixels]

UNKNOWN: Final = 128
# A picture at most this much larger than the network's best size is worked whole.
WHOLE: Final = 1.5
# What neighbouring windows share at least, of a window's side.
_OVERLAP: Final = 1 / 4
# What a window must hold of foreground and background each, where the picture has as much of it.
_LEAST_KNOWN: Final = 1 / 200


@dataclass(frozen=True)
class Matte:
    """Alpha `[H,W]`, 0 background to 255 foreground, and the windows in which it was found.

    `widened` of them were worked scaled down, with more around them.
    """

    alpha: Pixels
    windows: tuple[Box, ...]
    widened: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What the log says; nothing where the picture was worked whole, or not at all."""
        if not self.windows or self.windows == (_whole(self.alpha.shape),):
            return ()
        rows, columns = self.windows[0]
        size = f"{columns.stop - columns.start} x {rows.stop - rows.start} pixels"
        count = len(self.windows)
        first = f"cut out in {'1 window' if count == 1 else f'{count} windows'} of {size}"
        if not self.widened:
            return (first,)
        return (
            first,
            f"{self.widened} of {'it' if count == 1 else 'them'} held too little known foreground "
            "or background, so more around was looked at, scaled down",
        )


@dataclass(frozen=True)
class Grid:
    """Windows of one size that cover a part of the picture, by their first rows and columns.

    `part` is what they cover; each window's weights are `down[i] x across[j]`, and the weights of
    all windows sum to 1 in each pixel of the part.
    """

    part: Box
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    size: tuple[int, int]
    down: Weights
    across: Weights

    def windows(self) -> Iterator[tuple[Box, Weights]]:
        """Each window in the picture, and its weights `[h,w]`."""
        height, width = self.size
        for top, down in zip(self.tops, self.down, strict=True):
            for left, across in zip(self.lefts, self.across, strict=True):
                box = (slice(top, top + height), slice(left, left + width))
                yield box, down[:, None] * across


def cut_out(
    picture: Pixels, trimap: Pixels, cut: Cut, best: int, halo: int, most_pixels: int
) -> Matte:
    """Alpha of a picture `[H,W,3]` by its trimap `[H,W]` of 0, 128 and 255.

    Exactly 0 and 255 where the trimap is. `best` is the side that the network likes best, `halo`
    how far it looks. A window has at most `most_pixels`, but may be `best` x `best`.
    """
    alpha = trimap.copy()
    if not (trimap == UNKNOWN).any():
        return Matte(alpha, (), 0)
    most_pixels = max(most_pixels, best * best)
    grid = plan_windows(trimap, best, halo, most_pixels)
    total = np.zeros([side.stop - side.start for side in grid.part], np.float32)
    there = {side: int((trimap == side).sum()) for side in (0, 255)}
    worked, widened = [], 0
    for box, weights in grid.windows():
        if (trimap[box] != UNKNOWN).all():
            continue
        around = _with_both_sides(trimap, box, there)
        seen = _seen(picture, trimap, box, around, cut, most_pixels)
        total[_within(box, grid.part)] += weights * seen
        worked.append(box)
        widened += around != box
    inside = alpha[grid.part]
    unknown = inside == UNKNOWN
    inside[unknown] = np.rint(total[unknown]).clip(0, 255).astype(np.uint8)
    return Matte(alpha, tuple(worked), widened)


def plan_windows(trimap: Pixels, best: int, halo: int, most_pixels: int) -> Grid:
    """Windows over all that is unknown and some context; the whole of a small picture.

    Some pixel of the trimap must be unknown.
    """
    context = max(halo, best // 2)
    part = _around(trimap == UNKNOWN, context)
    if max(trimap.shape) <= WHOLE * best and trimap.size <= most_pixels:
        part = _whole(trimap.shape)
    total = [side.stop - side.start for side in part]
    height = min(total[0], isqrt(most_pixels))
    width = min(total[1], most_pixels // height)
    height = min(total[0], most_pixels // width)
    tops = _starts(total[0], height, context)
    lefts = _starts(total[1], width, context)
    return Grid(
        part,
        tuple(part[0].start + top for top in tops),
        tuple(part[1].start + left for left in lefts),
        (height, width),
        _fades(tops, height),
        _fades(lefts, width),
    )


def _starts(total: int, length: int, context: int) -> list[int]:
    """Where windows of a length begin that cover a total, evenly and with enough overlap."""
    if length >= total:
        return [0]
    overlap = min(max(ceil(length * _OVERLAP), context), length // 2)
    count = 1 + ceil((total - length) / (length - overlap))
    return [round(i * (total - length) / (count - 1)) for i in range(count)]


def _fades(starts: list[int], length: int) -> Weights:
    """Each window's weights along one side `[n,length]`: raised cosines that sum to 1."""
    fades = np.ones((len(starts), length))
    for i, (here, there) in enumerate(pairwise(starts)):
        shared = here + length - there
        rise = (1 - np.cos(np.pi * (np.arange(shared) + 0.5) / shared)) / 2
        fades[i, length - shared :] *= rise[::-1]
        fades[i + 1, :shared] *= rise
    # Where three windows meet, as where two do, each gets its share.
    total = np.zeros(starts[-1] + length)
    for start, fade in zip(starts, fades, strict=True):
        total[start : start + length] += fade
    shares = [
        fade / total[start : start + length] for start, fade in zip(starts, fades, strict=True)
    ]
    return np.array(shares, np.float32)


def _with_both_sides(trimap: Pixels, box: Box, there: dict[int, int]) -> Box:
    """A window, widened until it holds enough of both sides, or all of what is `there` of them."""
    reach = 0
    around = box
    while _lacks_a_side(trimap[around], there):
        reach = max(2 * reach, (box[0].stop - box[0].start) // 2, 1)
        around = _grown(box, reach, trimap.shape)
    return around


def _lacks_a_side(part: Pixels, there: dict[int, int]) -> bool:
    least = ceil(_LEAST_KNOWN * part.size)
    return any(int((part == side).sum()) < min(least, count) for side, count in there.items())


def _seen(
    picture: Pixels, trimap: Pixels, box: Box, around: Box, cut: Cut, most_pixels: int
) -> Weights:
    """Alpha of a window, as the network finds it with what is around."""
    rows, columns = _within(box, around)
    photo, bands = picture[around], trimap[around]
    scale = sqrt(most_pixels / bands.size)
    if scale >= 1:
        return cut(photo, bands)[rows, columns].astype(np.float32)
    size = (max(1, int(bands.shape[0] * scale)), max(1, int(bands.shape[1] * scale)))
    averages, _ = known_scaled_down(photo, np.zeros(bands.shape, bool), size)
    small = np.full(size, UNKNOWN, np.uint8)
    for value in (0, 255):
        share = plane_scaled_down((bands == value).astype(np.uint8), size)
        small[share > 1 / 2] = value  # all of it would lose what is known in thin strips
    alpha = cut(np.rint(averages).astype(np.uint8), small).astype(np.float32)
    return scaled_up(alpha, bands.shape, rows, columns).clip(0, 255)


def _around(region: NDArray[np.bool_], context: int) -> Box:
    """The rows and columns over which a region reaches, and some context."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return _grown(box, context, region.shape)


def _grown(box: Box, by: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (
        slice(max(0, side.start - by), min(size, side.stop + by))
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def _within(box: Box, part: Box) -> Box:
    """A window as an index into the part that it lies in."""
    rows, columns = (
        slice(side.start - within.start, side.stop - within.start)
        for side, within in zip(box, part, strict=True)
    )
    return rows, columns


def _whole(shape: tuple[int, ...]) -> Box:
    return slice(0, shape[0]), slice(0, shape[1])
