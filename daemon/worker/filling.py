"""Fill a photo's holes window by window; all other pixels stay as they are, to the bit.

Windows in full resolution are filled as the network fills them. Of a window that is scaled down the
network is asked for somewhat more than the hole, a rim whose truth is known: the step between the
two, smoothed into the hole, is taken off what it made, so that colours and brightness meet. What
the photo has at the rim that is finer than that scale, as grain and lines, fades out into the hole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from daemon.worker.holes import Plan, Window, plan_windows
from daemon.worker.membrane import stretched, without_step
from daemon.worker.scaling import Plane, known_scaled_down, scaled_up

Pixels = NDArray[np.uint8]
Region = NDArray[np.bool_]
# Pictures `[B,h,w,3]` and masks `[B,h,w]` to pictures `[B,h,w,3]`.
Fill = Callable[[Pixels, Pixels], Pixels]

# How far beyond a hole the network is asked, in pixels that it sees.
_RIM: Final = 2
# Within how many pixels of the rim what the network could not see of it fades out.
_FADE: Final = 16
_STRIP_ROWS: Final = 256
# What of a window must be left known for that.
_LEAST_KNOWN: Final = 1 / 16
_AROUND: Final = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Filled:
    """A picture without holes `[H,W,3]`, and the windows in which it was filled."""

    picture: Pixels
    windows: tuple[Window, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the log says; nothing where the picture was filled whole, as it is."""
        if not self.windows or self._is_whole:
            return ()
        count = len(self.windows)
        where = f"filled in {'1 window' if count == 1 else f'{count} windows'}"
        scales = [window.scale for window in self.windows if window.scale < 1]
        if not scales:
            return (f"{where} at full resolution",)
        least = f"{min(scales):.2g}"
        if count == 1:
            return (f"{where}, scaled to {least} of its size",)
        if len(scales) == 1:
            return (f"{where}, one of them scaled to {least} of its size",)
        if f"{max(scales):.2g}" == least:
            return (f"{where}, {len(scales)} of them scaled to {least} of their size",)
        return (f"{where}, {len(scales)} of them scaled, the most to {least} of its size",)

    @property
    def _is_whole(self) -> bool:
        first = self.windows[0]
        return first.scale == 1 and (first.height, first.width) == self.picture.shape[:2]


@dataclass(frozen=True)
class _Sight:
    """What the network sees of a window, and the averages behind it where it is scaled down."""

    picture: Pixels
    mask: Pixels
    averages: Plane | None = None
    is_known: Region | None = None


def fill_holes(
    picture: Pixels, mask: Pixels, fill: Fill, side: int, smallest: int = 1, batch: int = 1
) -> Filled:
    """Fill the holes of a picture `[H,W,3]`, where the mask `[H,W]` is not 0.

    `side` is the network's best height and width, `smallest` the least that it takes; up to
    `batch` windows of one size are given to it at once, those that need nothing from each other.
    """
    plan = plan_windows(mask, side, smallest)
    canvas, left = picture.copy(), mask.copy()
    for wave in plan.waves():
        for alike in _batches(wave, batch):
            sights = [_sight(canvas[window.box], left[window.box], window) for window in alike]
            made = fill(
                np.stack([sight.picture for sight in sights]),
                np.stack([sight.mask for sight in sights]),
            )
            for window, sight, one in zip(alike, sights, made, strict=True):
                _put_back(one, sight, window, plan, canvas, left)
    return Filled(canvas, plan.windows)


def _batches(wave: list[Window], batch: int) -> Iterator[list[Window]]:
    for _, group in groupby(sorted(wave, key=_size), _size):
        alike = list(group)
        for start in range(0, len(alike), batch):
            yield alike[start : start + batch]


def _size(window: Window) -> tuple[int, int]:
    return window.worked_size


def _sight(part: Pixels, mask: Pixels, window: Window) -> _Sight:
    if window.scale == 1:
        return _Sight(part, mask)
    averages, share = known_scaled_down(part, mask != 0, window.worked_size)
    asked = _asked(share)
    seen = np.rint(averages).astype(np.uint8)
    return _Sight(seen, np.where(asked, np.uint8(255), np.uint8(0)), averages, share == 1)


def _asked(share: Plane) -> Region:
    """What the network has to fill: each pixel with any hole in it, and a rim around those.

    Where so much would leave next to nothing known, as between close holes, it is less.
    """
    touched = share < 1
    choices = (ndimage.binary_dilation(touched, _AROUND, _RIM), touched, share < 1 / 2)
    for asked in choices:
        if (~asked).mean() >= _LEAST_KNOWN:
            return asked
    nothing: Region = share == 0
    return nothing


def _put_back(
    made: Pixels, sight: _Sight, window: Window, plan: Plan, canvas: Pixels, left: Pixels
) -> None:
    """Put what is a window's own to fill into the canvas, and mark it as filled."""
    mine = plan.part_of(window) & (left[window.box] != 0)
    if sight.averages is None or sight.is_known is None:
        canvas[window.box][mine] = made[mine]
    else:
        met = _met(made.astype(np.float32), sight.averages, sight.mask != 0, sight.is_known)
        rows, columns = _extent(mine)
        _paste(met, mine, rows, columns, canvas[window.box])
        _close(mine, rows, columns, canvas[window.box], left[window.box] != 0)
    left[window.box][mine] = 0


def _paste(met: Plane, mine: Region, rows: slice, columns: slice, canvas: Pixels) -> None:
    """Put what was made, scaled up, where it belongs; in strips, as floats take much memory."""
    for top in range(rows.start, rows.stop, _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, rows.stop))
        large = np.rint(scaled_up(met, mine.shape, strip, columns)).clip(0, 255).astype(np.uint8)
        hole = mine[strip, columns]
        canvas[strip, columns][hole] = large[hole]


def _close(mine: Region, rows: slice, columns: slice, canvas: Pixels, left: Region) -> None:
    """Take away what is left of the step at the rim, which is finer than the network saw."""
    height, width = mine.shape
    rows = slice(max(0, rows.start - 1), min(height, rows.stop + 1))
    columns = slice(max(0, columns.start - 1), min(width, columns.stop + 1))
    part, own = canvas[rows, columns], mine[rows, columns]
    shift = without_step(part, own, left[rows, columns] & ~own, _FADE)
    part[own] = np.rint(part[own] + shift).clip(0, 255)


def _met(made: Plane, averages: Plane, asked: Region, is_known: Region) -> Plane:
    """What was made, shifted smoothly so that it meets what is known at the rim; known outside."""
    rim = asked & is_known
    step = np.where(rim[..., None], averages - made, np.float32(0))
    # Beyond the rim nothing is asked of the surface, so it must not hold it there either.
    shift = stretched(step, asked & ~rim)
    return np.where(asked[..., None], made + shift, averages)


def _extent(region: Region) -> tuple[slice, slice]:
    """The rows and columns that a region reaches over; it must not be empty."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
