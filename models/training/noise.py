"""Fractal noise: planes of chance that look alike at every scale, and pictures bent by them.

Sums of octaves, each of random values on a grid interpolated smoothly (Fournier, Fussell
and Carpenter 1982; Perlin 1985).
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    largest_px: float,
    octaves: int,
    falloff: float = 0.5,
    stretch: float = 1.0,
) -> Plane:
    """Noise float32 `[H,W]` of mean about 0 and standard deviation 1.

    The first octave's features are `largest_px` across, each next one's half that with `falloff`
    of its height; `stretch` draws them out along the rows.
    """
    total = np.zeros((height, width), np.float32)
    power = 0.0
    for octave in range(octaves):
        size, gain = largest_px / 2**octave, falloff**octave
        if size < 2 and octave:
            break
        total += np.float32(gain) * _smooth(rng, height, width, size, size * stretch)
        power += gain * gain
    return total / np.float32(_INTERPOLATED * np.sqrt(power))


def bent(plane: Plane, down: Plane, right: Plane) -> Plane:
    """`plane` read at each pixel's place moved by `down` and `right` pixels; borders repeated."""
    height, width = plane.shape
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] + down, 0, height - 1.001)
    x = np.clip(np.arange(width, dtype=np.float32)[None] + right, 0, width - 1.001)
    row, column = y.astype(np.int32), x.astype(np.int32)
    y, x = y - row, x - column
    at = row * width + column
    flat = plane.ravel()
    upper = flat[at] * (1 - x) + flat[at + 1] * x
    lower = flat[at + width] * (1 - x) + flat[at + width + 1] * x
    result: Plane = upper * (1 - y) + lower * y
    return result


def _smooth(rng: np.random.Generator, height: int, width: int, down: float, across: float) -> Plane:
    """Normal values on a grid of the given pitch, cubically interpolated, at a random offset."""
    rows, columns = int(height / down) + 5, int(width / across) + 5
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    top, left = rng.uniform(1.5, 2.5, 2)
    box = (left, top, left + width / across, top + height / down)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


# The standard deviation that a plane of independent values keeps when so interpolated.
_INTERPOLATED = 0.79
