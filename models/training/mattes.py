"""The procedural mattes, hair, lace and smoke, and silhouettes for hair to grow on.

Alpha and colours are exact, since they are what was drawn: composites of them need no estimate.
The same generator state draws the same matte.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from models.training.composites import Plane
from models.training.hair import hair
from models.training.lace import lace
from models.training.smoke import smoke

__all__ = ["hair", "lace", "silhouette", "smoke"]


def silhouette(rng: np.random.Generator, height: int, width: int) -> Plane:
    """The alpha of a rounded body with room for hair around it, float32 `[H,W]`, antialiased."""
    finer = 3
    image = Image.new("L", (width * finer, height * finer))
    draw = ImageDraw.Draw(image)
    side = min(height, width) * finer
    centre = np.array([width, height]) * finer * rng.uniform(0.35, 0.65, 2)
    angles = np.linspace(0, 2 * math.pi, 160, endpoint=False)
    if rng.random() < 0.4:
        _draw_shoulders(rng, draw, centre, side)
    for _ in range(rng.integers(1, 4)):
        radius = side * rng.uniform(0.15, 0.32)
        rim = np.ones_like(angles)
        for wave in range(2, 7):
            swing = rng.normal(0, 0.18 / wave)
            rim += swing * np.sin(wave * angles + rng.uniform(0, 2 * math.pi))
        squeeze = rng.uniform(0.6, 1.0, 2)
        outline = np.stack([np.cos(angles), np.sin(angles)], 1) * (rim * radius)[:, None] * squeeze
        draw.polygon((outline + centre).ravel().tolist(), fill=255)
        centre = centre + rng.normal(0, radius * 0.7, 2)
    return np.asarray(image.reduce(finer), np.float32) / np.float32(255)


def _draw_shoulders(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, head: npt.NDArray[np.float64], side: float
) -> None:
    """A body below `head` (x, y) that goes on beyond the picture's lower border."""
    x, y, floor = float(head[0]), float(head[1]), float(draw.im.size[1])
    wide, tall = side * rng.uniform(0.25, 0.5), side * rng.uniform(0.1, 0.35)
    draw.ellipse((x - wide, floor - tall, x + wide, floor + tall), fill=255)
    neck = side * rng.uniform(0.04, 0.1)
    draw.rectangle((x - neck, min(y, floor), x + neck, floor), fill=255)
