"""Photos, holes, specks and portraits' trimaps of any size: made, seeded, no file needed.

Arrays are uint8; a photo is `[H,W,3]`, a mask or trimap `[H,W]`.
"""

from math import isqrt, pi

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[np.uint8]

_NOISE_LEVELS = 2.0
_SPECK_RADIUS_PX = 6
# Distances need no more detail than this: the band is tens of pixels wide.
_COARSE_PX = 4


def photo(width: int, height: int, seed: int = 0) -> Pixels:
    """Detail of every size, the coarser the stronger as in photographs, and a sensor's noise."""
    chance = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for divisor in (512, 128, 32, 8, 2):
        size = (max(2, height // divisor), max(2, width // divisor))
        strength = divisor**0.5
        for channel in range(3):
            rough = chance.standard_normal(size, np.float32) * strength
            large = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(large)
    total *= 45 / total.std()
    total += 120 + _NOISE_LEVELS * chance.standard_normal(total.shape, np.float32)
    return total.clip(0, 255).astype(np.uint8)


def square_hole(width: int, height: int, share: float) -> Pixels:
    """One square hole, a little off the middle, that takes a share of the photo."""
    side = max(1, isqrt(round(share * width * height)))
    top, left = (height - side) * 2 // 5, (width - side) * 3 // 5
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask


def specks(width: int, height: int, share: float, seed: int = 0) -> Pixels:
    """Round specks of dust, 13 pixels across, all over the photo; together about a share of it."""
    chance = np.random.default_rng(seed)
    count = max(1, round(share * width * height / (pi * _SPECK_RADIUS_PX**2)))
    centres = np.zeros((height, width), bool)
    centres[chance.integers(0, height, count), chance.integers(0, width, count)] = True
    near = ndimage.distance_transform_edt(~centres) <= _SPECK_RADIUS_PX
    return np.where(near, np.uint8(255), np.uint8(0))


def portrait(width: int, height: int, band_percent: float) -> Pixels:
    """The trimap of a head and shoulders, the same left and right.

    The band reaches `band_percent` of the shorter side to either side of the outline, as in trimaps
    that the daemon makes from masks.
    """
    down, across = np.mgrid[0:height:_COARSE_PX, 0:width:_COARSE_PX].astype(np.float32)
    y, x = down / height, (across - (width - 1) / 2) / height
    head = (x / 0.2) ** 2 + ((y - 0.36) / 0.26) ** 2 < 1
    shoulders = (x / 0.48) ** 2 + ((y - 1.1) / 0.5) ** 2 < 1
    subject = head | shoulders
    band = band_percent / 100 * min(width, height) / _COARSE_PX
    trimap = np.where(subject, np.uint8(255), np.uint8(0))
    for side in (subject, ~subject):
        trimap[side & (ndimage.distance_transform_edt(side) <= band)] = 128
    return trimap.repeat(_COARSE_PX, axis=0).repeat(_COARSE_PX, axis=1)[:height, :width]


def batch(task: str, side: int, count: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Square photos and their companions as the contract has them, on a device."""
    images = np.stack([photo(side, side, seed) for seed in range(count)])
    companion = square_hole(side, side, 0.2) if task == "inpaint" else portrait(side, side, 8)
    companions = np.stack([companion] * count)[:, None]
    image = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return image.to(device), torch.from_numpy(companions).to(device)
