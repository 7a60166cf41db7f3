"""The preview of a result: before, mask and after, three small pictures of one size in a row.

For people who look through what came out, in a file browser or in the gallery; nothing is measured
by it. Large pictures are gone through in strips, so it takes next to no memory.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from daemon.worker.companions import Companion
from daemon.worker.pictures import Picture, Pixels, in_srgb
from daemon.worker.protocol import MOST_PREVIEWED
from daemon.worker.scaling import Size, miniature

Rows = Callable[[slice], Pixels]
Shares = NDArray[np.float32]

# What a mask marks is tinted, so strongly that it shows on any photo, and the photo through it.
_TINT: Final = (235, 0, 110)
_TINTED: Final = 0.7
# A scratch is thinner than a pixel here: a hole in a third of one shows as much as in all of it.
_THIN: Final = 3
# The checkerboard that stands for nothing: squares of so many pixels, in two greys.
_SQUARE: Final = 8
_GREYS: Final = (255, 214)
# What each of red, green and blue counts in a grey (ITU-R BT.601), as where a result is made grey.
_LUMA: Final = (0.299, 0.587, 0.114)


def panel_size(picture: Picture) -> Size:
    """Height and width of each of the three; a small picture is not enlarged."""
    width, height = picture.size
    scale = min(1.0, MOST_PREVIEWED / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def strip_of_retouched(
    picture: Picture, mask: Companion, filled: Pixels, *, was_clear: bool = False
) -> Pixels:
    """`[h,3w,3]` in sRGB: the picture, its hole tinted, and the picture `[H,W,3]` as filled.

    Where the hole `was_clear` in the picture as it was dropped, it is shown so.
    """
    before = _small(picture, picture.seen)
    after = _small(picture, partial(_rows, filled))
    if before.ndim == 2:
        after = _levels(after @ np.array(_LUMA))
    opacity = dropped = _own_opacity(picture)
    marked = _shares(picture, partial(_rows, mask.values))
    if was_clear:
        dropped = (1 - marked) * (1 if opacity is None else opacity)
    before, after = _shown(picture, before, dropped), _shown(picture, after, opacity)
    hole = np.minimum(marked * _THIN, 1)
    return np.hstack([before, _mixed(before, np.array(_TINT), hole * _TINTED), after])


def strip_of_cutout(
    picture: Picture, trimap: Companion, foreground: Pixels, alpha: Pixels
) -> Pixels:
    """`[h,3w,3]` in sRGB: the picture, its trimap, and the cut-out over a checkerboard.

    `foreground` is `[H,W,3]`, `alpha` `[H,W]`.
    """
    own = _own_opacity(picture)
    before = _shown(picture, _small(picture, picture.seen), own)
    known = _small(picture, partial(_rows, trimap.values))
    opacity = _shares(picture, partial(_rows, alpha))
    after = _shown(
        picture,
        _small(picture, partial(_rows, foreground)),
        opacity if own is None else opacity * own,
    )
    return np.hstack([before, np.repeat(known[..., None], 3, axis=2), after])


def _small(picture: Picture, rows: Rows) -> Pixels:
    width, height = picture.size
    return miniature(rows, (height, width), panel_size(picture))


def _rows(whole: Pixels, rows: slice) -> Pixels:
    return whole[rows]


def _shares(picture: Picture, rows: Rows) -> Shares:
    return _small(picture, rows).astype(np.float32) / np.float32(255)


def _own_opacity(picture: Picture) -> Shares | None:
    """How opaque the picture itself is; None where it has no transparency."""
    rows = picture.opacity
    return None if rows is None else _shares(picture, rows)


def _shown(picture: Picture, panel: Pixels, opacity: Shares | None) -> Pixels:
    """A panel, grey or in the picture's own colours, as sRGB over the checkerboard."""
    colours = in_srgb(panel, picture.keepsakes.get("icc_profile"))
    return colours if opacity is None else _mixed(_board(panel.shape), colours, opacity)


def _mixed(below: Pixels, above: NDArray[Any], opacity: NDArray[Any]) -> Pixels:
    share = opacity[..., None]
    return _levels(below * (1 - share) + above * share)


def _board(shape: tuple[int, ...]) -> Pixels:
    down, across = np.indices(shape[:2]) // _SQUARE
    greys = np.array(_GREYS, np.uint8)[(down + across) % 2]
    return np.repeat(greys[..., None], 3, axis=2)


def _levels(colours: NDArray[Any]) -> Pixels:
    levels: Pixels = np.rint(colours).clip(0, 255).astype(np.uint8)
    return levels
