"""Photos in, samples for inpainting out: a crop, its hole and its edges.

The n-th sample is always the same one, whichever process makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from models.canny import Canny, luma
from models.training.holes import irregular_hole, scratches_and_dust

# The Gaussian of the edge maps that the edge generator learns to draw, in pixels.
EDGE_SIGMA = 2.0


@dataclass(frozen=True)
class InpaintSamples(Dataset[dict[str, Tensor]]):
    """Crops of photos `uint8 [H,W,3]` RGB, at random scale and place, each with a random hole.

    A sample: `image` uint8 `[3,size,size]`, `hole` bool and `edges` bool `[1,size,size]`; the edges
    are Canny's on the whole crop, as in the public training code. `masks`, uint8 `[H,W]` with 255
    in the hole, take the place of drawn holes where some are given.
    """

    photos: Sequence[np.ndarray]
    size: int
    seed: int
    scratches: float = 0.2
    least_hole: float = 0.05
    most_hole: float = 0.45
    smallest_scale: float = 0.35
    masks: Sequence[np.ndarray] = ()

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, number])
        photo = self.photos[int(rng.integers(len(self.photos)))]
        crop = random_crop(rng, photo, self.size, self.smallest_scale)
        image = torch.from_numpy(crop).permute(2, 0, 1).contiguous()
        hole = torch.from_numpy(self._hole(rng)).bool()[None]
        return {"image": image, "hole": hole, "edges": edges_of(image)}

    def _hole(self, rng: np.random.Generator) -> np.ndarray:
        if self.masks:
            return self._own_hole(rng, self.masks[int(rng.integers(len(self.masks)))])
        if rng.random() < self.scratches:
            return scratches_and_dust(rng, self.size, self.size)
        return irregular_hole(rng, self.size, self.size, least=self.least_hole, most=self.most_hole)

    def _own_hole(self, rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        """A crop of the mask that has a hole in it, or else the whole mask made small."""
        nearest = Image.Resampling.NEAREST
        for _ in range(20):
            crop = random_crop(rng, mask, self.size, self.smallest_scale, nearest)
            if crop.any():
                return crop
        return np.array(Image.fromarray(mask).resize((self.size, self.size), nearest))


def random_crop(
    rng: np.random.Generator,
    picture: np.ndarray,
    size: int,
    smallest_scale: float,
    filter_: Image.Resampling = Image.Resampling.BICUBIC,
) -> np.ndarray:
    """A `size` x `size` square from anywhere in `picture`, scaled by `smallest_scale` to 1, maybe
    mirrored. A picture with a shorter side is enlarged to fit."""
    height, width = picture.shape[:2]
    scale = np.exp(rng.uniform(np.log(smallest_scale), 0.0))
    side = min(size / scale, height, width)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    # Cropped before it is scaled: Pillow reads the whole of what it is given.
    box = (int(left), int(top), int(left + side), int(top + side))
    square = Image.fromarray(np.ascontiguousarray(picture[box[1] : box[3], box[0] : box[2]]))
    if square.size != (size, size):
        square = square.resize((size, size), filter_)
    crop = np.array(square)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def edges_of(image: Tensor) -> Tensor:
    """Canny's edges of a whole RGB picture, uint8 `[3,H,W]`: bool `[1,H,W]`."""
    grey = luma(image.to(torch.float64)[None]) / 255
    edges: Tensor = _CANNY(grey, torch.ones_like(grey, dtype=torch.bool))[0]
    return edges


_CANNY = Canny(EDGE_SIGMA)
