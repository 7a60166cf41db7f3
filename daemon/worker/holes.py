"""Where a network has to look to fill the holes of a photo: a few windows with context.

Found on a grid of cells, squares some pixels wide, so that a photo of 200 megapixels takes little
memory and a thousand specks of dust little time. How far a hole's pixels are from the nearest
known one decides the scale, not how long the hole is: a scratch over a whole photo is thin, and is
filled piece by piece in full resolution; a hole of 1000 x 1000 pixels in one window, scaled down.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint8]
Region = NDArray[np.bool_]
Box = tuple[slice, slice]

# A picture at most this much larger than the network's best size is worked whole, as it is: a
# window would hardly be smaller, and no scaling is better than a little of it.
WHOLE: Final = 1.5
# At the scale at which a network works, no pixel of a hole is farther from a known one than this
# share of a window's side. A round hole then takes half of the side.
DEEPEST: Final = 1 / 4
# Only deeper holes are scaled down: to scale by little blurs, and gains nothing.
SCALED_FROM: Final = 5 / 16
# Holes no deeper than this share are thin: dust, scratches, wires. They need less context.
THIN: Final = 1 / 16
# What one window fills, as a share of its side; the rest is context on both sides of it.
CORE: Final = 1 / 2
THIN_CORE: Final = 3 / 4
# A hole is cut in pieces only where it takes a larger share than this: a cut may show.
UNCUT: Final = 3 / 4

_CELLS_ACROSS_A_WINDOW: Final = 32
_TOUCHING: Final = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Window:
    """A part of the picture, in pixels, that is worked at `scale` (1 is full resolution)."""

    top: int
    left: int
    height: int
    width: int
    scale: float
    number: int

    @property
    def box(self) -> Box:
        """The part as an index into the picture."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    @property
    def worked_size(self) -> tuple[int, int]:
        """Height and width at which the network sees it."""
        return max(1, round(self.height * self.scale)), max(1, round(self.width * self.scale))


@dataclass(frozen=True)
class Plan:
    """Windows in the order in which they are to be filled, and which of them fills what.

    `owners` `[rows,columns]` of cells, each `cell` pixels wide and high, holds the number of the
    one window that fills the holes in it; -1 where there are none.
    """

    windows: tuple[Window, ...]
    owners: NDArray[np.int32]
    cell: int

    def part_of(self, window: Window) -> Region:
        """Which pixels of a window, `[height,width]`, are its own to fill where they are hole."""
        rows, columns = (slice(s.start // self.cell, -(-s.stop // self.cell)) for s in window.box)
        mine = self.owners[rows, columns] == window.number
        pixels: Region = mine.repeat(self.cell, axis=0).repeat(self.cell, axis=1)
        top, left = window.top - rows.start * self.cell, window.left - columns.start * self.cell
        part: Region = pixels[top : top + window.height, left : left + window.width]
        return part

    def waves(self) -> list[list[Window]]:
        """The windows in groups: those of a group need nothing from each other.

        A window waits for those before it that overlap it, since what they fill it sees as known.
        """
        boxes = np.array(
            [(w.top, w.left, w.top + w.height, w.left + w.width) for w in self.windows]
        )
        wave = np.zeros(len(self.windows), int)
        for i, (top, left, bottom, right) in enumerate(boxes):
            before = boxes[:i]
            touched = (before[:, 0] < bottom) & (before[:, 2] > top)
            touched &= (before[:, 1] < right) & (before[:, 3] > left)
            wave[i] = 1 + wave[:i][touched].max(initial=-1)
        groups: list[list[Window]] = [[] for _ in range(wave.max(initial=-1) + 1)]
        for window, number in zip(self.windows, wave, strict=True):
            groups[number].append(window)
        return groups


def window_side(best: int, smallest: int, most_pixels: int) -> int:
    """The side of windows for a network whose best size is `best`, with memory for `most_pixels`.

    Where memory is short they shrink, to half of the best size at most. A picture that is worked
    whole fits as well.
    """
    return min(best, max(smallest, best // 2, int(isqrt(most_pixels) / WHOLE)))


def plan_windows(mask: Pixels, side: int, smallest: int = 1) -> Plan:
    """Cover every hole pixel of a mask `[H,W]` (0 known, else hole) by exactly one window.

    `side` is the height and width at which the network works best, `smallest` what it must have at
    least. All windows are worked at `side` x `side`, but where the picture itself is narrower, or
    is worked whole. No holes, no windows.
    """
    height, width = mask.shape
    cell = max(1, side // _CELLS_ACROSS_A_WINDOW)
    holes = _pooled(mask, cell, np.maximum) > 0
    if holes.any() and max(height, width) <= WHOLE * side:
        whole = Window(0, 0, height, width, 1.0, 0)
        return Plan((whole,), np.where(holes, np.int32(0), np.int32(-1)), cell)
    owners = np.full(holes.shape, -1, np.int32)
    windows: list[Window] = []
    for part in _parts(mask, holes, side, cell):
        reach = side / part.scale
        core, uncut = (max(1, int(reach * share // cell)) for share in (part.core, UNCUT))
        pieces, boxes = _pieces(part.cells, core, uncut)
        owner_of = np.full(len(boxes) + 1, -1, np.int32)
        for group in _groups(boxes, core):
            owner_of[[piece + 1 for piece in group]] = len(windows)
            around = _around([boxes[piece] for piece in group], part.corner, cell)
            windows.append(_window(around, mask.shape, side, part.scale, smallest, len(windows)))
        down, right = part.corner
        inside = owners[down : down + part.cells.shape[0], right : right + part.cells.shape[1]]
        inside[part.cells] = owner_of[pieces[part.cells]]
    return Plan(tuple(windows), owners, cell)


@dataclass(frozen=True)
class _Part:
    """Cells of the grid from `corner` (row, column) on, whose windows have a scale and a core."""

    cells: Region
    corner: tuple[int, int]
    scale: float
    core: float


def _pooled(mask: Pixels, cell: int, function: np.ufunc) -> Pixels:
    """The greatest or the least value in each cell."""
    rows, columns = (np.arange(0, size, cell) for size in mask.shape)
    across: Pixels = function.reduceat(function.reduceat(mask, rows, axis=0), columns, axis=1)
    return across


def _parts(mask: Pixels, holes: Region, side: int, cell: int) -> Iterator[_Part]:
    """Groups of cells, the deepest first.

    A deep hole brings along what hangs on it, to twice its depth: its rim and its corners. What
    lies farther out, as a scratch that ends in it, comes later, with a scale of its own.
    """
    depth = _depth(mask, cell)
    rest = holes
    halvings = np.ceil(np.log2(depth.max() / (side * SCALED_FROM)))
    for halving in range(int(halvings) - 1, -1, -1):
        deep, rest = _split(rest, depth, side * SCALED_FROM * 2**halving, cell)
        labels, count = ndimage.label(deep, _TOUCHING)
        for number, box in enumerate(ndimage.find_objects(labels, count), 1):
            cells = labels[box] == number
            scale = min(1.0, side * DEEPEST / float(depth[box][cells].max()))
            yield _Part(cells, (box[0].start, box[1].start), scale, CORE)
    deep, rest = _split(rest, depth, side * THIN, cell)
    for cells, core in ((deep, CORE), (rest, THIN_CORE)):
        if cells.any():
            yield _Part(cells, (0, 0), 1.0, core)


def _depth(mask: Pixels, cell: int) -> NDArray[np.float64]:
    """How far at most a cell's pixels are from a known one, in pixels, to a cell's width.

    Beyond the picture's border nothing is known.
    """
    full = _pooled(mask, cell, np.minimum) > 0
    if full.all():
        return np.full(full.shape, float(max(mask.shape)))
    if not full.any():
        return np.full(full.shape, float(cell))
    depth: NDArray[np.float64] = (ndimage.distance_transform_edt(full) + 1) * cell
    return depth


def _split(
    holes: Region, depth: NDArray[np.float64], level: float, cell: int
) -> tuple[Region, Region]:
    """Cells deeper than a level with what hangs on them, and the rest."""
    deep = holes & (depth > level)
    if not deep.any():
        return deep, holes
    near = holes & (ndimage.distance_transform_edt(~deep) * cell <= 2 * level)
    part: Region = ndimage.binary_propagation(deep, _TOUCHING, mask=near)
    return part, holes & ~part


def _pieces(part: Region, core: int, uncut: int) -> tuple[NDArray[np.int64], list[Box]]:
    """Connected cells as pieces of at most `uncut` cells; larger ones cut into some of `core`.

    Gives the number of each cell's piece, from 1, and the boxes of the pieces.
    """
    labels, _ = ndimage.label(part, _TOUCHING)
    corners = [
        (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        for rows, columns in ndimage.find_objects(labels)
    ]
    tops, lefts, heights, widths = np.array(corners).T
    down, across = (np.where(sizes <= uncut, 1, -(-sizes // core)) for sizes in (heights, widths))
    first = np.concatenate([[0], np.cumsum(down * across)[:-1]])
    rows, columns = np.nonzero(part)
    label = labels[rows, columns] - 1
    row = (rows - tops[label]) * down[label] // heights[label]
    column = (columns - lefts[label]) * across[label] // widths[label]
    _, piece = np.unique(first[label] + row * across[label] + column, return_inverse=True)
    numbers = np.zeros(part.shape, np.int64)
    numbers[rows, columns] = piece + 1
    return numbers, ndimage.find_objects(numbers)


def _groups(boxes: Sequence[Box], core: int) -> Iterator[list[int]]:
    """Boxes that fit into `core` x `core` cells together, by their numbers.

    Greedy, in strips from the top and in each from the left. A box is looked at once for each row
    of cells in a strip at most, so the time goes with the number of boxes.
    """
    waiting = deque(sorted(range(len(boxes)), key=lambda i: boxes[i][0].start))
    while waiting:
        bottom = boxes[waiting[0]][0].start + core
        strip = [waiting.popleft()]
        later: list[int] = []
        while waiting and boxes[waiting[0]][0].start < bottom:
            i = waiting.popleft()
            (strip if boxes[i][0].stop <= bottom else later).append(i)
        waiting.extendleft(reversed(later))
        strip.sort(key=lambda i: boxes[i][1].start)
        yield from _in_a_strip(strip, boxes, core)


def _in_a_strip(strip: Sequence[int], boxes: Sequence[Box], core: int) -> Iterator[list[int]]:
    left = strip
    while left:
        right = boxes[left[0]][1].start + core
        group = [left[0]]
        later: list[int] = []
        for at, i in enumerate(left[1:], 1):
            if boxes[i][1].start >= right:
                later += left[at:]
                break
            (group if boxes[i][1].stop <= right else later).append(i)
        yield group
        left = later


def _around(boxes: Sequence[Box], corner: tuple[int, int], cell: int) -> tuple[int, int, int, int]:
    """Top, left, bottom and right, in pixels, of boxes of cells counted from a corner."""
    return (
        cell * (corner[0] + min(rows.start for rows, _ in boxes)),
        cell * (corner[1] + min(columns.start for _, columns in boxes)),
        cell * (corner[0] + max(rows.stop for rows, _ in boxes)),
        cell * (corner[1] + max(columns.stop for _, columns in boxes)),
    )


def _window(
    around: tuple[int, int, int, int],
    shape: tuple[int, ...],
    side: int,
    scale: float,
    smallest: int,
    number: int,
) -> Window:
    """A window with a box in its middle, moved into the picture where it stands out."""
    reach = round(side / scale)
    (height, width), (top, left, bottom, right) = shape, around
    rows, columns = min(reach, height), min(reach, width)
    top = min(max(0, (top + bottom - rows) // 2), height - rows)
    left = min(max(0, (left + right - columns) // 2), width - columns)
    # In a picture that is smaller than the reach there is less to scale down.
    scale = min(1.0, side / max(rows, columns))
    if max(1, round(min(rows, columns) * scale)) < smallest:
        scale = min(1.0, smallest / min(rows, columns))
    return Window(top, left, rows, columns, scale, number)
