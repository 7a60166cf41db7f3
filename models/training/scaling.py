"""Photos and cut-outs at the size of a pack."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.training.pack import Pixels

# Short side of a photo and long side of a cut-out in a pack.
PHOTO_PX = 640
CUTOUT_PX = 640

Floats = npt.NDArray[np.float64]


def fit_photo(pixels: Pixels) -> Pixels:
    """uint8 [H,W,3] with the short side at most 640 px, by Lanczos; never enlarged."""
    return _shrink(pixels, PHOTO_PX / min(pixels.shape[:2]))


def fit_cutout(pixels: Pixels) -> Pixels:
    """uint8 [H,W,4] with the long side at most 640 px, cropped to what is visible.

    Scaled with the colours weighted by alpha, so that nothing bleeds in from the invisible; then
    the colours under alpha 0 continue the visible ones beside them. At least one pixel has to be
    visible.
    """
    visible = pixels[..., 3] > 0
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    cropped = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return continue_colours(_shrink(cropped, CUTOUT_PX / max(cropped.shape[:2])))


def continue_colours(pixels: Pixels) -> Pixels:
    """uint8 [H,W,4] with the colours under alpha 0 replaced by a mean of visible ones around.

    Elsewhere colours and alpha are as they were.
    """
    alpha = pixels[..., 3]
    colours = _pull(pixels[..., :3].astype(np.float64), (alpha > 0).astype(np.float64))
    return np.dstack([colours.round().astype(np.uint8), alpha])


def _shrink(pixels: Pixels, factor: float) -> Pixels:
    if factor >= 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    # Pillow weights colours by alpha by itself where there are four channels.
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _pull(colours: Floats, known: Floats) -> Floats:
    """Each unknown colour from a pyramid of means of the known, its finest level that knows one."""
    if known.all() or max(known.shape) == 1:
        return colours
    height, width = known.shape
    even = ((0, height % 2), (0, width % 2))
    count = _sum_of_four(np.pad(known, even))
    total = _sum_of_four(np.pad(colours * known[..., None], (*even, (0, 0))))
    coarse = _pull(total / np.maximum(count, 1)[..., None], np.minimum(count, 1))
    below = coarse.repeat(2, 0).repeat(2, 1)[:height, :width]
    return np.where(known[..., None] > 0, colours, below)


def _sum_of_four(values: Floats) -> Floats:
    rows = values[::2] + values[1::2]
    return np.asarray(rows[:, ::2] + rows[:, 1::2])
