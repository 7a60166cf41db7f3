"""Decide a trimap's unknown band in overlapping windows along it, at full resolution, blended.

What surrounds a pixel tells what its foreground and background look like, so windows reach beyond
what they are for. Where they overlap, one fades into the other, with weights that sum to 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.worker.covering import Rules, Window, cover
from daemon.worker.scaling import known_scaled_down, plane_scaled_down, scaled_up

Pixels = NDArray[np.uint8]
Weights = NDArray[np.float32]
Box = tuple[slice, slice]
# A picture `[h,w,3]` and its trimap `[h,w]` to alpha `[h,w]`.
Cut = Callable[[Pixels, Pixels], Pixels]

UNKNOWN: Final = 128
# A picture at most this much larger than the network's best size is worked whole.
WHOLE: Final = 1.5
# What a window reaches beyond what it is for, of the network's best size. With half of it the
# starter network's mattes are further from those of whole pictures; docs/pictures.md has more.
MARGIN: Final = 1 / 4
# What a window must hold of foreground and background each, where the picture has as much of it.
_LEAST_KNOWN: Final = 1 / 200
# Windows are blended in so many rows at a time, which bounds the memory.
_ROWS: Final = 128


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
        height, width = _size(max(self.windows, key=_area))
        size = f"{width} x {height} pixels"
        count = len(self.windows)
        first = (
            f"cut out in 1 window of {size}"
            if count == 1
            else f"cut out in {count} windows of at most {size}"
        )
        if not self.widened:
            return (first,)
        return (
            first,
            f"{self.widened} of {'it' if count == 1 else 'them'} held too little known foreground "
            "or background, so more around was looked at, scaled down",
        )


def cut_out(
    picture: Pixels, trimap: Pixels, cut: Cut, best: int, halo: int, most_pixels: int
) -> Matte:
    """Alpha of a picture `[H,W,3]` by its trimap `[H,W]` of 0, 128 and 255.

    Exactly 0 and 255 where the trimap is. `best` is the side that the network likes best, `halo`
    how far it looks. A window has at most `most_pixels`, but may be `best` x `best`.
    """
    alpha = trimap.copy()
    most_pixels = max(most_pixels, best * best)
    windows = plan_windows(trimap, best, halo, most_pixels)
    there = {side: int((trimap == side).sum()) for side in (0, 255)}
    found, widened = [], 0
    for window in windows:
        around = _with_both_sides(trimap, window.box, there)
        found.append(_seen(picture, trimap, window.box, around, cut, most_pixels))
        widened += _area(around) > most_pixels
    for rows, columns, blended in blend(windows, found, trimap.shape, margin_of(best, halo)):
        np.copyto(alpha[rows, columns], blended, where=trimap[rows, columns] == UNKNOWN)
    return Matte(alpha, tuple(window.box for window in windows), widened)


def plan_windows(trimap: Pixels, best: int, halo: int, most_pixels: int) -> list[Window]:
    """Windows for all that is unknown; the whole of a small picture."""
    unknown = trimap == UNKNOWN
    if max(trimap.shape) <= WHOLE * best and trimap.size <= most_pixels:
        whole = _whole(trimap.shape)
        return [Window(whole, whole)] if unknown.any() else []
    return cover(unknown, Rules(best, margin_of(best, halo), most_pixels))


def margin_of(best: int, halo: int) -> int:
    """How far a window reaches beyond what it is for, in pixels; a `halo` of 0 is not known."""
    margin = ceil(best * MARGIN)
    return min(margin, halo) if halo else margin


def blend(
    windows: Sequence[Window], found: Sequence[Pixels], shape: tuple[int, ...], margin: int
) -> Iterator[tuple[slice, slice, Pixels]]:
    """What was found in each window `[h,w]`, as one: parts of the picture that hold all cores.

    Weights are raised cosines that fall to nothing at a window's border, over twice the margin,
    but where that is the border of the picture `[H,W]`; divided by their sum.
    """
    boxes = np.array([[s.start, s.stop] for w in windows for s in w.box]).reshape(-1, 2, 2)
    for window in windows:
        core, columns = window.core
        for top in range(core.start, core.stop, _ROWS):
            part = (slice(top, min(top + _ROWS, core.stop)), columns)
            starts, stops = (np.array([getattr(s, end) for s in part]) for end in ("start", "stop"))
            met = ((boxes[..., 0] < stops) & (boxes[..., 1] > starts)).all(axis=1)
            near = [(windows[i].box, found[i]) for i in np.flatnonzero(met).tolist()]
            yield *part, _blended(part, near, shape, 2 * margin)


def _blended(
    part: Box, near: Sequence[tuple[Box, Pixels]], shape: tuple[int, ...], fade: int
) -> Pixels:
    if len(near) == 1:
        box, found = near[0]
        whole: Pixels = found[_within(part, box)]
        return whole
    sums, weights = np.zeros(_size(part), np.float32), np.zeros(_size(part), np.float32)
    for box, found in near:
        shared = _shared(part, box)
        weight = _weights(shared, box, shape, fade)
        inside = _within(shared, part)
        weights[inside] += weight
        sums[inside] += weight * found[_within(shared, box)]
    blended: Pixels = np.rint(sums / weights).astype(np.uint8)
    return blended


def _weights(part: Box, box: Box, shape: tuple[int, ...], fade: int) -> Weights:
    """A window's weights in a part of it: raised cosines from its border on."""
    down, across = (
        (1 - np.cos(np.pi * np.minimum(_depths(inside, side, size) / fade, 1))) / 2
        for inside, side, size in zip(part, box, shape, strict=True)
    )
    return np.asarray(down[:, None] * across, np.float32)


def _depths(part: slice, side: slice, size: int) -> NDArray[np.float64]:
    """How far the middles of pixels are from where a side ends though the picture goes on."""
    at = np.arange(part.start, part.stop) + 0.5
    before = at - side.start if side.start else np.full(len(at), np.inf)
    behind = side.stop - at if side.stop < size else np.full(len(at), np.inf)
    depths: NDArray[np.float64] = np.minimum(before, behind)
    return depths


def _with_both_sides(trimap: Pixels, box: Box, there: dict[int, int]) -> Box:
    """A window, widened until it holds enough of both sides, or all of what is `there` of them."""
    reach = 0
    around = box
    while _lacks_a_side(trimap[around], there):
        # In small steps, as what is worked grows twice as fast.
        reach = max(reach + reach // 2, min(_size(box)) // 8, reach + 1)
        around = _grown(box, reach, trimap.shape)
    return around


def _lacks_a_side(part: Pixels, there: dict[int, int]) -> bool:
    least = ceil(_LEAST_KNOWN * part.size)
    return any(int((part == side).sum()) < min(least, count) for side, count in there.items())


def _seen(
    picture: Pixels, trimap: Pixels, box: Box, around: Box, cut: Cut, most_pixels: int
) -> Pixels:
    """Alpha of a window, as the network finds it with what is around."""
    rows, columns = _within(box, around)
    photo, bands = picture[around], trimap[around]
    scale = sqrt(most_pixels / bands.size)
    if scale >= 1:
        seen: Pixels = cut(photo, bands)[rows, columns]
        return seen
    size = (max(1, int(bands.shape[0] * scale)), max(1, int(bands.shape[1] * scale)))
    averages, _ = known_scaled_down(photo, np.zeros(bands.shape, bool), size)
    small = np.full(size, UNKNOWN, np.uint8)
    for value in (0, 255):
        share = plane_scaled_down((bands == value).astype(np.uint8), size)
        small[share > 1 / 2] = value  # all of it would lose what is known in thin strips
    alpha = cut(np.rint(averages).astype(np.uint8), small).astype(np.float32)
    scaled = scaled_up(alpha, bands.shape, rows, columns)
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _grown(box: Box, by: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (
        slice(max(0, side.start - by), min(size, side.stop + by))
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def _shared(one: Box, other: Box) -> Box:
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def _within(box: Box, part: Box) -> Box:
    """A window as an index into the part that it lies in."""
    rows, columns = (
        slice(side.start - within.start, side.stop - within.start)
        for side, within in zip(box, part, strict=True)
    )
    return rows, columns


def _size(box: Box) -> tuple[int, int]:
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start


def _area(box: Box) -> int:
    height, width = _size(box)
    return height * width


def _whole(shape: tuple[int, ...]) -> Box:
    return slice(0, shape[0]), slice(0, shape[1])
