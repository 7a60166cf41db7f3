"""Between 16 bits and 8: a network takes and gives 8, and what is deep stays deep around it.

A level is one of the 256 of 8 bits and 257 of the 65536, since 255 times 257 is 65535.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 257
# What lies within this many of 16 bits around a level is rounded to that level.
HALF_LEVEL: Final = 128

# How far a pixel looks, in turn. Steps lie farther apart the slower a slope rises: those that are
# up to twice the farthest apart vanish.
_REACHES: Final = (128, 64, 32, 16, 8, 4, 2, 1)
# A neighbour that differs by more than a level and a half lies beyond an edge.
_EDGE: Final = LEVEL + HALF_LEVEL
# Where the mean of two neighbours is off by more than three quarters of a level, a curve bends, and
# from so far away it would be cut short. Tried on slopes and on hills: more draws hills down, less
# leaves steps.
_BEND: Final = _EDGE
_BLOCK_ROWS: Final = 256
_BLOCK_PIXELS: Final = 1 << 18
_MOST_OF_32_BITS: Final = 1 << 31

Hole = NDArray[np.bool_]
Places = NDArray[np.int32] | NDArray[np.int64]


def to_8_bits(samples: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The samples in 8 bits, rounded to the nearest level; those of 8 bits as they are."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    seen = np.empty(samples.shape, np.uint8)
    for top in range(0, len(samples), _BLOCK_ROWS):
        rows = slice(top, top + _BLOCK_ROWS)
        seen[rows] = (samples[rows].astype(np.uint32) + HALF_LEVEL) // LEVEL
    return seen


def fill_without_steps(colours: NDArray[np.uint16], painted: NDArray[np.uint8], hole: Hole) -> None:
    """Put what was painted in 8 bits into the hole of a picture in 16, slopes without steps.

    `colours` and `painted` are `[H,W,C]`, `hole` is `[H,W]`. On return each sample in the hole lies
    within half a level of the painted one, so that it is the same when rounded to 8 bits: texture
    and noise stay. Slopes rise evenly, and go on from those around the hole. Outside it nothing has
    changed. Costs grow with the hole.

    From far to near, a sample is drawn to the mean of two neighbours on opposite sides, if neither
    lies beyond an edge or around a bend, and kept within half a level: a bilateral filter with
    growing gaps, as in Dammertz et al. 2010 (Edge-Avoiding A-Trous Wavelet Transform), here with
    shrinking ones, and projected on what the painted levels allow.
    """
    blocks = list(_places(hole))
    for at in blocks:
        rows, columns = np.divmod(at, hole.shape[1])
        colours[rows, columns] = painted[rows, columns].astype(np.uint16) * np.uint16(LEVEL)
    for reach in _REACHES:
        # All are reckoned from what was before, so that the order of the blocks means nothing.
        smooth = [
            _smoothed(colours, painted, *np.divmod(at, hole.shape[1]), reach) for at in blocks
        ]
        for at, values in zip(blocks, smooth, strict=True):
            colours[np.divmod(at, hole.shape[1])] = values


def _places(hole: Hole) -> Iterator[Places]:
    """Where a hole's pixels are, counted along the rows, in blocks that are not large.

    In as few bytes as can be: of a large hole they take much of what the picture takes.
    """
    for top in range(0, len(hole), _BLOCK_ROWS):
        inside = np.flatnonzero(hole[top : top + _BLOCK_ROWS]) + top * hole.shape[1]
        small = inside.astype(np.int32 if hole.size < _MOST_OF_32_BITS else np.int64)
        for start in range(0, len(small), _BLOCK_PIXELS):
            yield small[start : start + _BLOCK_PIXELS]


def _smoothed(
    colours: NDArray[np.uint16],
    painted: NDArray[np.uint8],
    rows: Places,
    columns: Places,
    reach: int,
) -> NDArray[np.uint16]:
    """What the samples `[N,C]` at these places become, seen so far."""
    height, width = colours.shape[:2]
    own = colours[rows, columns].astype(np.int32)
    total, weight = 2 * own, np.full_like(own, 2)
    for down, right in ((reach, 0), (0, reach)):
        is_inside = (rows >= down) & (rows < height - down)
        is_inside &= (columns >= right) & (columns < width - right)
        y, x = rows[is_inside], columns[is_inside]
        here = own[is_inside]
        before = colours[y - down, x - right].astype(np.int32)
        behind = colours[y + down, x + right].astype(np.int32)
        is_slope = (np.abs(before - here) <= _EDGE) & (np.abs(behind - here) <= _EDGE)
        is_slope &= np.abs(before + behind - 2 * here) <= _BEND
        total[is_inside] += np.where(is_slope, before + behind, 0)
        weight[is_inside] += 2 * is_slope
    level = painted[rows, columns].astype(np.int32) * LEVEL
    mean = (total + weight // 2) // weight
    allowed = mean.clip(level - HALF_LEVEL, level + HALF_LEVEL).clip(0, 65535)
    return allowed.astype(np.uint16)
