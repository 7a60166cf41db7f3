"""Parts of photos scaled down for a network, and what it made scaled up again.

Uses Pillow to resample arrays, never to open a file.
"""

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]
Size = tuple[int, int]

# Nearly an average over the area that a pixel comes to stand for, and without the moire that an
# exact one has at scales near 1.
_DOWN = Resampling.HAMMING
_UP = Resampling.BICUBIC

# How far an average reaches, in pixels of what is scaled down; more than the filter does.
_REACH: Final = 2
_STRIP_ROWS: Final = 32
# How many pixels a miniature has in memory at once, and how many averages, to each side, it leaves
# to the resampling, which is better and slower.
_STRIP_PIXELS: Final = 1 << 18
_SPARE: Final = 2

# Shares of a pixel smaller than this are rounding.
_SLIGHT = 1e-4


def miniature(rows: Callable[[slice], Pixels], shape: Size, size: Size) -> Pixels:
    """A picture of `shape` height and width made smaller, to `size`: averages, rounded.

    `rows` gives some of its rows, `[h,W]` or `[h,W,3]`, and never has to give many at once; the
    result has as many channels. Quick: whole pixels are averaged first, and resampled when few are
    left. A `size` that is no smaller gives the picture as it is.
    """
    if size == shape:
        return rows(slice(0, shape[0]))
    down, across = (max(1, old // (_SPARE * new)) for old, new in zip(shape, size, strict=True))
    step = max(1, _STRIP_PIXELS // shape[1] // down) * down
    strips = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(rows(slice(top, top + step)))).reduce(
                (across, down)
            )
        )
        for top in range(0, shape[0], step)
    ]
    left = Image.fromarray(np.concatenate(strips))
    box = (0, 0, shape[1] / across, shape[0] / down)
    return np.asarray(left.resize((size[1], size[0]), _DOWN, box))


def known_scaled_down(part: Pixels, hole: NDArray[np.bool_], size: Size) -> tuple[Plane, Plane]:
    """Known pixels of a part `[h,w,3]` averaged, and how much of each average was known.

    `size` is height and width. Gives `[h',w',3]` in 0..255 and `[h',w']` in 0..1; nothing of what
    is in the hole gets into either. Where nothing is known the average is 0.
    """
    share = _scaled_down(lambda rows: ~hole[rows], hole.shape, size)
    averages = np.empty((*size, part.shape[2]), np.float32)
    for i in range(part.shape[2]):
        known = partial(_known, part[..., i], hole)
        averages[..., i] = _scaled_down(known, hole.shape, size)
    averages /= np.maximum(share, _SLIGHT)[..., None]
    share = np.where(share > 1 - _SLIGHT, np.float32(1), share)
    return averages.clip(0, 255), np.where(share < _SLIGHT, np.float32(0), share)


def _known(plane: Pixels, hole: NDArray[np.bool_], rows: slice) -> Pixels:
    """Some rows of a plane, 0 where the hole is."""
    return np.where(hole[rows], np.uint8(0), plane[rows])


def plane_scaled_down(plane: Pixels, size: Size) -> Plane:
    """Averages of a plane `[h,w]`."""
    return _scaled_down(lambda rows: plane[rows], plane.shape, size)


def _scaled_down(plane: Callable[[slice], Any], shape: tuple[int, ...], size: Size) -> Plane:
    """Averages of a plane of which some rows can be had: as floats all would take much memory."""
    made = np.empty(size, np.float32)
    step = shape[0] / size[0]
    for top in range(0, size[0], _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, size[0])
        first = max(0, int((top - _REACH) * step))
        rows = slice(first, min(shape[0], ceil((bottom + _REACH) * step)))
        strip = plane(rows).astype(np.float32)
        end = min(bottom * step - first, float(len(strip)))  # rounding must not lead beyond it
        box = (0.0, top * step - first, float(shape[1]), end)
        made[top:bottom] = _resampled(strip, (bottom - top, size[1]), _DOWN, box)
    return made


def scaled_up(made: Plane, size: Size, rows: slice, columns: slice) -> Plane:
    """Rows and columns of `made` `[h',w',C]`, or `[h',w']`, as it is in the larger `size`."""
    box = (
        columns.start * made.shape[1] / size[1],
        rows.start * made.shape[0] / size[0],
        columns.stop * made.shape[1] / size[1],
        rows.stop * made.shape[0] / size[0],
    )
    wanted = (rows.stop - rows.start, columns.stop - columns.start)
    if made.ndim == 2:
        return _resampled(made, wanted, _UP, box)
    planes = [_resampled(made[..., i], wanted, _UP, box) for i in range(made.shape[2])]
    return np.stack(planes, axis=-1)


def _resampled(
    plane: Plane,
    size: Size,
    how: Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Plane:
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((size[1], size[0]), how, box))
