"""Cover what matters of a picture with few windows: they follow it, with some context around.

The part that matters is cut in two, and each half again, where the halves' windows are smallest.
Then, from the smallest pieces up, a cut stays where its two windows cost less than one without it.
So what costs is the length and width of a band, and not the picture that it runs through.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

Region = NDArray[np.bool_]
Box = tuple[slice, slice]
Counts = NDArray[np.intp]

# Windows begin and end on cells of this share of the least side: few sizes, and little to look at.
_CELLS_IN_THE_LEAST: Final = 16
# Where a picture would have more cells, larger ones do, which bounds the time that a plan takes.
_MOST_CELLS: Final = 2**16
# No cut takes less off a side than this share, so that a piece is soon small.
_LEAST_CUT: Final = 1 / 8


@dataclass(frozen=True)
class Window:
    """`box` is to be worked for `core`, which lies in it. Each is an index into the picture."""

    core: Box
    box: Box


@dataclass(frozen=True)
class Rules:
    """What windows have to be like, in pixels.

    `least` is the least side where the picture has as much, `margin` what there is around a core
    where the picture goes on, at most three eighths of that side, and `most_pixels` what a window
    has at most: a square of the least side or more.
    """

    least: int
    margin: int
    most_pixels: int


def cover(region: Region, rules: Rules) -> list[Window]:
    """Windows whose cores together hold all of a region `[H,W]`, and do not overlap."""
    plan = _Plan.of(region, rules)
    whole = plan.tight((0, plan.cells.shape[0], 0, plan.cells.shape[1]))
    return [plan.window(piece) for piece in plan.pieces(whole)[1]] if whole else []


# Rows from and to, columns from and to, in cells.
_Piece = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Plan:
    """A region in cells `[rows,columns]`, true where anything of it lies in one."""

    cells: Region
    cell: int
    shape: tuple[int, ...]
    least: int
    margin: int
    most_pixels: int

    @classmethod
    def of(cls, region: Region, rules: Rules) -> "_Plan":
        largest = isqrt(rules.most_pixels) - 2 * rules.margin
        cell = max(1, rules.least // _CELLS_IN_THE_LEAST, isqrt(region.size // _MOST_CELLS))
        cell = min(cell, largest)
        cells = region
        for axis in (0, 1):
            starts = np.arange(0, region.shape[axis], cell)
            cells = np.logical_or.reduceat(cells, starts, axis=axis)
        return cls(cells, cell, region.shape, rules.least, rules.margin, rules.most_pixels)

    def pieces(self, piece: _Piece) -> tuple[int, list[_Piece]]:
        """The pieces into which a tight piece is best cut, and how many pixels they cost."""
        height, width = self._sides(piece)
        uncut = int(height * width)
        fits = uncut <= self.most_pixels
        smallest = min(self.least, self.shape[0]) * min(self.least, self.shape[1])
        if fits and (uncut <= 2 * smallest or self._is_full(piece)):
            return uncut, [piece]
        halves = self._halves(piece)
        if not halves:
            return uncut, [piece]
        found = [self.pieces(half) for half in halves]
        cost = sum(pixels for pixels, _ in found)
        if fits and uncut <= cost:
            return uncut, [piece]
        return cost, [part for _, parts in found for part in parts]

    def tight(self, piece: _Piece) -> _Piece | None:
        """What of a piece is not empty at its sides."""
        top, bottom, left, right = piece
        inside = self.cells[top:bottom, left:right]
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not len(rows):
            return None
        return (
            top + int(rows[0]),
            top + int(rows[-1]) + 1,
            left + int(columns[0]),
            left + int(columns[-1]) + 1,
        )

    def window(self, piece: _Piece) -> Window:
        """The window of a piece, as near around it as the picture's sides let it be."""
        spans = []
        for begin, end, size in zip(piece[::2], piece[1::2], self.shape, strict=True):
            core = slice(begin * self.cell, min(end * self.cell, size))
            length = int(self._side(core.stop - core.start, size))
            start = core.start - (length - (core.stop - core.start)) // 2
            start = max(0, min(start, size - length))
            spans.append((core, slice(start, start + length)))
        (rows, tall), (columns, wide) = spans
        return Window((rows, columns), (tall, wide))

    def _is_full(self, piece: _Piece) -> bool:
        top, bottom, left, right = piece
        return bool(self.cells[top:bottom, left:right].all())

    def _sides(self, piece: _Piece) -> tuple[int, int]:
        box = self.window(piece).box
        return box[0].stop - box[0].start, box[1].stop - box[1].start

    def _side(self, core: int | Counts, size: int) -> Counts:
        """How long a window is whose core is that long, in a picture of that size."""
        return np.minimum(np.maximum(core + 2 * self.margin, self.least), size)

    def _halves(self, piece: _Piece) -> list[_Piece]:
        """The two tight parts whose windows are smallest; none of a piece of one cell."""
        top, bottom, left, right = piece
        inside = self.cells[top:bottom, left:right]
        costs = []
        for cells, along, across in ((inside, 0, 1), (inside.T, 1, 0)):
            for at, cost in self._cuts(cells, self.shape[along], self.shape[across]):
                costs.append((cost, abs(2 * at - len(cells)), along, at))
        if not costs:
            return []
        _, _, along, at = min(costs)
        first, second = (
            ((top, top + at, left, right), (top + at, bottom, left, right))
            if along == 0
            else ((top, bottom, left, left + at), (top, bottom, left + at, right))
        )
        return [half for half in map(self.tight, (first, second)) if half]

    def _cuts(self, cells: Region, along: int, across: int) -> Iterator[tuple[int, int]]:
        """Each cut before a row of tight cells, and how many pixels both windows would have."""
        count = len(cells)
        if count < 2:
            return
        first = max(1, int(count * _LEAST_CUT))
        before = self._costs(cells, along, across)[first - 1 : count - first]
        behind = self._costs(cells[::-1], along, across)[first - 1 : count - first][::-1]
        yield from enumerate((before + behind).tolist(), first)

    def _costs(self, cells: Region, along: int, across: int) -> Counts:
        """How many pixels the window has of the first row alone, of the first two, and so on."""
        filled = cells.any(axis=1)
        columns = cells.shape[1]
        rows = np.maximum.accumulate(np.where(filled, np.arange(1, len(cells) + 1), 0))
        first = np.where(filled, cells.argmax(axis=1), columns)
        last = np.where(filled, columns - cells[:, ::-1].argmax(axis=1), 0)
        wide = np.maximum.accumulate(last) - np.minimum.accumulate(first)
        return self._side(rows * self.cell, along) * self._side(wide * self.cell, across)
