"""Trimaps made from rough masks: along the mask's edge, on both sides, a band is unknown.

Distances are Euclidean and exact, from centre to centre of pixels. One look at every row tells how
far its pixels are from the edge along the row; from there on only what lies near the edge costs.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.worker.companions import Companion, Subject
from daemon.worker.pictures import Pixels

Region = NDArray[np.bool_]
Distances = NDArray[np.unsignedinteger]

# Small blocks, as one that is all near or all far costs next to nothing.
_BLOCK_ROWS: Final = 64
_BLOCK_COLUMNS: Final = 512
# Most blocks near the edge are decided by a few of the rows around them.
_LOOK_EVERY: Final = 16


@dataclass(frozen=True)
class Trimap:
    """A made trimap: `values` `[H,W]` of 0, 128 and 255; the bands as they came out, in pixels."""

    values: Pixels
    inside: int
    outside: int


def trimap_from(subject: Subject, percent: float) -> Companion:
    """The trimap of what a mask marks, with a band of `percent` of the picture's shorter side."""
    band = band_in_pixels(subject.marked.shape, percent)
    made = draw_trimap(subject.marked, subject.soft, band)
    return Companion(made.values, subject.read, _notes(subject, made, band, percent))


def band_in_pixels(shape: tuple[int, ...], percent: float) -> int:
    """Whole pixels on either side of the edge; at least 1."""
    return max(1, round(min(shape) * percent / 100))


def draw_trimap(marked: Region, soft: Region, band: int) -> Trimap:
    """Unknown is what is soft, and each pixel with one of the other side within `band` pixels.

    Outside the picture there is nothing, so its border is no edge. Where the band would leave no
    known foreground (or background), it is narrowed on that side, to half of the least width that
    does so; 0 where that width is 1. Both sides must have a pixel that is not soft.
    """
    inside, foreground = _known(marked & ~soft, ~marked, band)
    outside, background = _known(~(marked | soft), marked, band)
    values = np.full(marked.shape, 128, np.uint8)
    values[foreground] = 255
    values[background] = 0
    return Trimap(values, inside, outside)


def _known(sure: Region, others: Region, band: int) -> tuple[int, Region]:
    """What of `sure` lies beyond the band around `others`, and how wide that band came out."""
    across = _distances_in_rows(others, band)
    known = _beyond(across, band, sure)
    if known.any():
        return band, known
    enough, too_wide = 0, band
    while too_wide - enough > 1:
        width = (enough + too_wide) // 2
        if _beyond(across, width, sure).any():
            enough = width
        else:
            too_wide = width
    return too_wide // 2, _beyond(across, too_wide // 2, sure)


def _distances_in_rows(region: Region, most: int) -> Distances:
    """How far the nearest pixel of the region in the same row is; `most + 1` stands for farther."""
    width = region.shape[1]
    columns = np.arange(width, dtype=np.int32)
    distances = np.empty(region.shape, np.min_scalar_type(most + 1))
    for top in range(0, len(region), _BLOCK_ROWS):
        rows = region[top : top + _BLOCK_ROWS]
        before = np.maximum.accumulate(np.where(rows, columns, -most - 1), axis=1)
        mirrored = np.where(rows, columns, width + most)[:, ::-1]
        behind = np.minimum.accumulate(mirrored, axis=1)[:, ::-1]
        nearest = np.minimum(columns - before, behind - columns)
        distances[top : top + _BLOCK_ROWS] = nearest.clip(max=most + 1)
    return distances


def _beyond(across: Distances, radius: int, sure: Region) -> Region:
    """The pixels of `sure` farther than `radius` from the region that `across` tells of."""
    known = np.zeros_like(sure)
    for top in range(0, sure.shape[0], _BLOCK_ROWS):
        for left in range(0, sure.shape[1], _BLOCK_COLUMNS):
            columns = slice(left, left + _BLOCK_COLUMNS)
            block = sure[top : top + _BLOCK_ROWS, columns]
            if block.any():
                far = known[top : top + _BLOCK_ROWS, columns]
                far[:] = block
                _drop_near(far, top, across[:, columns], radius)
    return known


def _drop_near(far: Region, top: int, across: Distances, radius: int) -> None:
    """Unset in rows from `top` on what is within `radius` of the region; `across` has all rows.

    In a row that lies dy away, the disc of that radius is sqrt(radius^2 - dy^2) wide to each side.
    """
    bottom = top + len(far)
    if across[max(0, top - radius) : bottom + radius].min() > radius:
        return
    for dy in range(radius + 1):
        reach = isqrt(radius * radius - dy * dy)
        for off in {dy, -dy}:
            first, last = max(0, top + off), min(len(across), bottom + off)
            if first < last:
                far[first - off - top : last - off - top] &= across[first:last] > reach
        if dy % _LOOK_EVERY == 0 and not far.any():
            return


def _notes(subject: Subject, made: Trimap, band: int, percent: float) -> tuple[str, ...]:
    notes = [
        f"the trimap was made from the mask, with an unknown band of {_pixels(band)} on either "
        f"side of its edge ({percent:g} % of the picture's shorter side)"
    ]
    for width, side, what in (
        (made.inside, "inside", "foreground"),
        (made.outside, "outside", "background"),
    ):
        if width < band:
            notes.append(
                f"{side} the edge the band is {_pixels(width)}, to leave some {what} known"
            )
    if subject.soft.any():
        notes.append("what is grey in the mask is unknown as well")
    if not (made.values == 128).any():
        notes.append("the trimap has no unknown band")
    return tuple(notes)


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"
