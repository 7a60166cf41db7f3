"""Cut-outs and photos in, samples for matting out: a composite, its trimap and its true alpha.

The n-th sample is always the same one, whichever process makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from models.training.composites import (
    Foreground,
    Pixels,
    Plane,
    composite,
    mirrored,
    placed,
    scaled,
    trimap_of,
)
from models.training.crops import random_crop
from models.training.mattes import hair, lace, silhouette, smoke

# Hair, lace and smoke take longer to draw than a network to learn from. So there are this many,
# each drawn once and then shown again in other crops, scales, lights and places.
DRAWN = 600

# A foreground is shown at these scales, a background at the second to 1.
SCALES = (0.5, 1.6)
BACKGROUND_SCALE = 0.35

# Backgrounds are often out of focus, pictures noisy, and cut-outs in another light.
BLURRED_SHARE = 0.3
BLUR_PX = (0.8, 4.0)
NOISY_SHARE = 0.3
NOISE = 0.02
LIGHT = (0.75, 1.25)


@dataclass(frozen=True)
class MattingSamples(Dataset[dict[str, Tensor]]):
    """Cut-outs `uint8 [H,W,4]` with straight alpha over crops of photos `uint8 [H,W,3]`.

    The cut-outs' colours have to go on where they are clear, as `extended_colours` makes them.

    A sample: `image` uint8 `[3,size,size]`, `trimap` uint8 and `alpha` float32 in 0..1
    `[1,size,size]`, `foreground` and `background` uint8 `[3,size,size]`. The crop lies around a
    place where alpha changes. `hair`, `lace` and `smoke` are the shares of procedural foregrounds.
    """

    cutouts: Sequence[Pixels]
    photos: Sequence[Pixels]
    size: int
    seed: int
    hair: float = 0.3
    lace: float = 0.1
    smoke: float = 0.1
    least_band: int = 2
    most_band: int = 25
    _drawn: dict[tuple[str, int], Foreground] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, number])
        shown = self._cropped(rng, self._foreground(rng))
        light = rng.uniform(*LIGHT, 3).astype(np.float32)
        front = (shown.pixels * light).clip(0, 1)
        back = self._background(rng)
        image = composite(front, shown.alpha, back)
        if rng.random() < NOISY_SHARE:
            noise = rng.normal(0, NOISE * rng.random(), image.shape)
            image = image + noise.astype(np.float32)
        trimap = trimap_of(rng, shown.alpha, least_px=self.least_band, most_px=self.most_band)
        return {
            "image": _planes(image),
            "trimap": torch.from_numpy(trimap)[None],
            "alpha": torch.from_numpy(np.ascontiguousarray(shown.alpha))[None],
            "foreground": _planes(front),
            "background": _planes(back / np.float32(255)),
        }

    def _foreground(self, rng: np.random.Generator) -> Foreground:
        shares = (self.hair, self.lace, self.smoke)
        kind = rng.choice(4, p=(*shares, 1 - sum(shares)))
        if kind == 3:
            return _as_it_is(self._cutout(rng))
        name = ("hair", "lace", "smoke")[kind]
        number = int(rng.integers(max(int(DRAWN * shares[kind]), 1)))
        if (name, number) not in self._drawn:
            self._drawn[name, number] = self._draw(name, number)
        return self._drawn[name, number]

    def _draw(self, name: str, number: int) -> Foreground:
        """A procedural foreground that depends on the seed and its number alone."""
        rng = np.random.default_rng([self.seed, *name.encode(), number])
        canvas = int(self.size * 1.5)
        if name == "hair":
            return hair(rng, self._body(rng, canvas))
        return lace(rng, canvas, canvas) if name == "lace" else smoke(rng, canvas, canvas)

    def _cutout(self, rng: np.random.Generator) -> Pixels:
        return self.cutouts[int(rng.integers(len(self.cutouts)))]

    def _body(self, rng: np.random.Generator, side: int) -> Pixels | Plane:
        """What hair is to grow on, with room around it: a cut-out, or a rounded silhouette.

        A cut-out of smoke has nothing opaque enough to carry hair.
        """
        if rng.random() < 0.5:
            return silhouette(rng, side, side)
        foreground = _as_it_is(self._cutout(rng))
        height, width = foreground.alpha.shape
        scale = side * rng.uniform(0.5, 0.9) / max(height, width)
        small = scaled(foreground, max(int(height * scale), 1), max(int(width * scale), 1))
        room = (side - small.alpha.shape[0], side - small.alpha.shape[1])
        top, left = (int(rng.integers(0, r + 1)) for r in room)
        body = placed(small, side, side, top, left)
        if body.alpha.max() < 0.9:
            return silhouette(rng, side, side)
        levels: Pixels = np.rint(np.dstack([body.pixels, body.alpha]) * 255).astype(np.uint8)
        return levels

    def _cropped(self, rng: np.random.Generator, foreground: Foreground) -> Foreground:
        """A square of the foreground around a place where its alpha changes, scaled and turned."""
        side = int(self.size / np.exp(rng.uniform(*np.log(SCALES))))
        alpha = foreground.alpha
        y, x = _turn_of_alpha(rng, alpha)
        jitter = rng.integers(-side // 4, side // 4 + 1, 2)
        top, left = side // 2 - y + int(jitter[0]), side // 2 - x + int(jitter[1])
        # Cut before it is scaled: scaling costs by the pixel.
        crop = scaled(placed(foreground, side, side, top, left), self.size, self.size)
        if rng.random() < 0.5:
            crop = mirrored(crop)
        turns = int(rng.integers(4)) if rng.random() < 0.3 else 0
        return Foreground(np.rot90(crop.pixels, turns), np.rot90(crop.alpha, turns))

    def _background(self, rng: np.random.Generator) -> Pixels:
        photo = self.photos[int(rng.integers(len(self.photos)))]
        crop = random_crop(rng, photo, self.size, BACKGROUND_SCALE)
        if rng.random() < BLURRED_SHARE:
            radius = rng.uniform(*BLUR_PX)
            crop = np.array(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(radius)))
        return crop


def _turn_of_alpha(rng: np.random.Generator, alpha: np.ndarray) -> tuple[int, int]:
    """A random place where alpha is neither 0 nor 1, or differs from the pixel before it."""
    soft = (alpha > 0) & (alpha < 1)
    soft[1:] |= (alpha[1:] > 0) != (alpha[:-1] > 0)
    soft[:, 1:] |= (alpha[:, 1:] > 0) != (alpha[:, :-1] > 0)
    places = np.flatnonzero(soft)
    if not len(places):
        return alpha.shape[0] // 2, alpha.shape[1] // 2
    y, x = divmod(int(places[rng.integers(len(places))]), alpha.shape[1])
    return y, x


def _as_it_is(rgba: Pixels) -> Foreground:
    planes = rgba.astype(np.float32) / np.float32(255)
    return Foreground(planes[..., :3], planes[..., 3])


def _planes(image: np.ndarray) -> Tensor:
    """float `[H,W,3]` in 0..1 as uint8 `[3,H,W]`."""
    levels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1)))
